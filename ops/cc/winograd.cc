// DflTf>WinogradConv2D and DflTf>WinogradFilterGradient: 3x3 convolutions with stride 1 in
// Winograd's minimal form F(2x2, 3x3) (Lavin and Gray 2016): 16 products for the 36 of a 2x2 tile.

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <string>
#include <type_traits>
#include <vector>

#include "cpu_dispatch.h"
#include "resource_apply.h"
#include "tensorflow/core/framework/op.h"

#if defined(__GNUC__) && defined(__x86_64__)
#define DFL_TF_WINOGRAD 1
#include <cpuid.h>
#include <immintrin.h>
#endif

namespace dfl_tf {
namespace winograd {

using ::tensorflow::bfloat16;
using ::tensorflow::OpKernel;
using ::tensorflow::OpKernelConstruction;
using ::tensorflow::OpKernelContext;
using ::tensorflow::Tensor;

constexpr float kHalf = 0.5f;
constexpr int kChain = 256;  // steps of a kernel's gradient that are added up without a break

// 2x2 pixels of a result.
struct Tile {
  int64_t image, row, column;
};

// A batch of images, (n, height, width, channels).
template <typename T>
struct Image {
  const T* data;
  int64_t images, height, width, channels;

  explicit Image(const Tensor& t)
      : data(t.flat<T>().data()),
        images(t.dim_size(0)),
        height(t.dim_size(1)),
        width(t.dim_size(2)),
        channels(t.dim_size(3)) {}
  int64_t rows() const { return (height + 1) / 2; }
  int64_t columns() const { return (width + 1) / 2; }
  int64_t tiles() const { return images * rows() * columns(); }
  Tile tile(int64_t number) const {
    const int64_t rest = number % (rows() * columns());
    return {number / (rows() * columns()), rest / columns(), rest % columns()};
  }
  bool has(int64_t y, int64_t x) const { return y >= 0 && y < height && x >= 0 && x < width; }
  int64_t offset(const Tile& tile, int64_t y, int64_t x) const {
    return ((tile.image * height + y) * width + x) * channels;
  }
  const T* pixel(const Tile& tile, int64_t y, int64_t x) const { return data + offset(tile, y, x); }
};

// Weights (3, 3, in, out), seen from the side of the result if `towards_input`.
struct Kernel {
  const float* data;
  int64_t in, out;
  bool towards_input;
  int64_t inputs() const { return towards_input ? out : in; }
  int64_t outputs() const { return towards_input ? in : out; }
};

DFL_TF_INLINE int64_t Groups(int64_t count, int64_t size) { return (count + size - 1) / size; }

// What winograd_kernels.h defines for one instruction set.
template <typename T>
struct Kernels {
  int lanes, depth;
  void (*transform_kernel)(const Kernel&, int64_t panel, float* factors);
  void (*convolve_tiles)(const Image<T>& from, const Image<T>& to, T* result,
                         const float* kernel_factors, const float* bias, int64_t first,
                         int64_t count, const T* zeros, float* scratch);
  void (*transform_input)(const Image<T>&, int64_t first, int64_t count, int64_t begin, int64_t end,
                          const T* zeros, float* factors);
  void (*transform_upstream)(const Image<T>&, int64_t panel, int64_t first, int64_t count,
                             const T* zeros, float* factors, float* sums);
  void (*add_filter_gradient)(const float* left, const float* right, int64_t groups, int64_t group,
                              int64_t panel, int64_t steps, bool add, int64_t inputs,
                              int64_t outputs, float* gradient);
};

#ifdef DFL_TF_WINOGRAD
namespace avx512 {
#define DFL_TF_TARGET __attribute__((target("avx512f,fma")))
using Number = float;
using Vec = __m512;
constexpr int kLanes = 16, kDepth = 1, kRows = 14, kOuterRows = 8;
DFL_TF_TARGET DFL_TF_INLINE Vec Load(const float* p) { return _mm512_loadu_ps(p); }
DFL_TF_TARGET DFL_TF_INLINE void Store(float* p, Vec v) { _mm512_storeu_ps(p, v); }
DFL_TF_TARGET DFL_TF_INLINE Vec LoadNumbers(const float* p) { return Load(p); }
DFL_TF_TARGET DFL_TF_INLINE void StoreNumbers(float* p, Vec v) { Store(p, v); }
DFL_TF_TARGET DFL_TF_INLINE Vec LoadPart(const float* p, int64_t count) {
  return _mm512_maskz_loadu_ps(static_cast<__mmask16>((1u << count) - 1), p);
}
DFL_TF_TARGET DFL_TF_INLINE void StorePart(float* p, int64_t count, Vec v) {
  _mm512_mask_storeu_ps(p, static_cast<__mmask16>((1u << count) - 1), v);
}
DFL_TF_TARGET DFL_TF_INLINE Vec Broadcast(const float* p) { return _mm512_set1_ps(*p); }
DFL_TF_TARGET DFL_TF_INLINE Vec Pack(const Vec* parts) { return parts[0]; }
DFL_TF_TARGET DFL_TF_INLINE Vec MultiplyAdd(Vec a, Vec b, Vec c) {
  return _mm512_fmadd_ps(a, b, c);
}
#include "winograd_kernels.h"
#undef DFL_TF_TARGET
}  // namespace avx512

namespace avx2 {
#define DFL_TF_TARGET __attribute__((target("avx2,fma")))
using Number = float;
using Vec = __m256;
constexpr int kLanes = 8, kDepth = 1, kRows = 6, kOuterRows = 4;
DFL_TF_TARGET DFL_TF_INLINE Vec Load(const float* p) { return _mm256_loadu_ps(p); }
DFL_TF_TARGET DFL_TF_INLINE void Store(float* p, Vec v) { _mm256_storeu_ps(p, v); }
DFL_TF_TARGET DFL_TF_INLINE Vec LoadNumbers(const float* p) { return Load(p); }
DFL_TF_TARGET DFL_TF_INLINE void StoreNumbers(float* p, Vec v) { Store(p, v); }
DFL_TF_TARGET DFL_TF_INLINE __m256i First(int64_t count) {
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(count)),
                            _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
DFL_TF_TARGET DFL_TF_INLINE Vec LoadPart(const float* p, int64_t count) {
  return _mm256_maskload_ps(p, First(count));
}
DFL_TF_TARGET DFL_TF_INLINE void StorePart(float* p, int64_t count, Vec v) {
  _mm256_maskstore_ps(p, First(count), v);
}
DFL_TF_TARGET DFL_TF_INLINE Vec Broadcast(const float* p) { return _mm256_broadcast_ss(p); }
DFL_TF_TARGET DFL_TF_INLINE Vec Pack(const Vec* parts) { return parts[0]; }
DFL_TF_TARGET DFL_TF_INLINE Vec MultiplyAdd(Vec a, Vec b, Vec c) {
  return _mm256_fmadd_ps(a, b, c);
}
#include "winograd_kernels.h"
#undef DFL_TF_TARGET
}  // namespace avx2

// Transforms in float32; their results are rounded to bfloat16, pairs of which are multiplied and
// added up in float32.
namespace avx512_bf16 {
#define DFL_TF_TARGET __attribute__((target("avx512f,avx512vl,avx512bw,avx512bf16,fma")))
using Number = bfloat16;
using Vec = __m512;
constexpr int kLanes = 16, kDepth = 2, kRows = 14, kOuterRows = 8;
DFL_TF_TARGET DFL_TF_INLINE Vec Load(const float* p) { return _mm512_loadu_ps(p); }
DFL_TF_TARGET DFL_TF_INLINE void Store(float* p, Vec v) { _mm512_storeu_ps(p, v); }
DFL_TF_TARGET DFL_TF_INLINE Vec Widen(__m256i numbers) {
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(numbers), 16));
}
DFL_TF_TARGET DFL_TF_INLINE Vec LoadNumbers(const Number* p) {
  return Widen(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
}
DFL_TF_TARGET DFL_TF_INLINE Vec LoadPart(const Number* p, int64_t count) {
  return Widen(_mm256_maskz_loadu_epi16(static_cast<__mmask16>((1u << count) - 1), p));
}
DFL_TF_TARGET DFL_TF_INLINE void StoreNumbers(Number* p, Vec v) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), (__m256i)_mm512_cvtneps_pbh(v));
}
DFL_TF_TARGET DFL_TF_INLINE void StorePart(Number* p, int64_t count, Vec v) {
  _mm256_mask_storeu_epi16(p, static_cast<__mmask16>((1u << count) - 1),
                           (__m256i)_mm512_cvtneps_pbh(v));
}
DFL_TF_TARGET DFL_TF_INLINE Vec Broadcast(const float* p) { return _mm512_set1_ps(*p); }
alignas(64) constexpr uint16_t kInterleave[32] = {0,  16, 1,  17, 2,  18, 3,  19, 4,  20, 5,
                                                  21, 6,  22, 7,  23, 8,  24, 9,  25, 10, 26,
                                                  11, 27, 12, 28, 13, 29, 14, 30, 15, 31};
DFL_TF_TARGET DFL_TF_INLINE Vec Pack(const Vec* parts) {
  const __m512i both = (__m512i)_mm512_cvtne2ps_pbh(parts[1], parts[0]);
  return _mm512_castsi512_ps(_mm512_permutexvar_epi16(_mm512_load_si512(kInterleave), both));
}
DFL_TF_TARGET DFL_TF_INLINE Vec MultiplyAdd(Vec a, Vec b, Vec c) {
  return _mm512_dpbf16_ps(c, (__m512bh)a, (__m512bh)b);
}
#include "winograd_kernels.h"
#undef DFL_TF_TARGET
}  // namespace avx512_bf16

// AMX multiplies bfloat16 so fast that TensorFlow's own convolutions are the better ones.
bool HasAmx() {
  unsigned a, b, c, d;
  return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (d & (1u << 22)) != 0;
}
#endif

// The kernels for this CPU, or none: without fused multiply-add there is nothing to gain.
template <typename T>
const Kernels<T>* KernelsForCpu(bool at_most_avx2) {
#ifdef DFL_TF_WINOGRAD
  if constexpr (std::is_same_v<T, float>) {
    if (!at_most_avx2 && __builtin_cpu_supports("avx512f")) return &avx512::kKernels;
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return &avx2::kKernels;
  } else if (__builtin_cpu_supports("avx512bf16") && __builtin_cpu_supports("avx512bw") &&
             __builtin_cpu_supports("avx512vl")) {
    return &avx512_bf16::kKernels;
  }
#endif
  return nullptr;
}

template <typename T>
absl::Status ReadKernels(OpKernelConstruction* ctx, const Kernels<T>** kernels) {
  std::string level;
  TF_RETURN_IF_ERROR(ctx->GetAttr("level", &level));
  *kernels = KernelsForCpu<T>(level == "avx2");
  if (*kernels != nullptr) return absl::OkStatus();
  return tensorflow::errors::Unimplemented("this CPU has no instructions for such convolutions");
}

absl::Status Misfit(const Tensor& x, const char* name, const Tensor& other) {
  return tensorflow::errors::InvalidArgument("x of shape ", x.shape().DebugString(),
                                             " does not fit ", name, " of shape ",
                                             other.shape().DebugString());
}

struct Free {
  void operator()(float* p) const { std::free(p); }
};

// Memory that starts at a cache line.
std::unique_ptr<float[], Free> Allocate(int64_t count) {
  return std::unique_ptr<float[], Free>(
      static_cast<float*>(std::aligned_alloc(64, Groups(count, 16) * 64)));
}

}  // namespace winograd

// Whether the ops of this file run on this CPU, and are the fastest there (native.py).
extern "C" __attribute__((visibility("default"))) int dfl_tf_winograd_float32() {
  return winograd::KernelsForCpu<float>(false) != nullptr;
}
extern "C" __attribute__((visibility("default"))) int dfl_tf_winograd_bfloat16() {
#ifdef DFL_TF_WINOGRAD
  if (winograd::HasAmx()) return 0;
#endif
  return winograd::KernelsForCpu<winograd::bfloat16>(false) != nullptr;
}

REGISTER_OP("DflTf>WinogradConv2D")
    .Attr("T: {float, bfloat16}")
    .Attr("towards_input: bool = false")
    .Attr("level: {'best', 'avx2'} = 'best'")
    .Input("x: T")
    .Input("kernel: float")
    .Input("bias: float")
    .Output("y: T")
    .SetShapeFn([](tensorflow::shape_inference::InferenceContext* c) {
      tensorflow::shape_inference::ShapeHandle x, kernel, y;
      bool towards_input;
      TF_RETURN_IF_ERROR(c->GetAttr("towards_input", &towards_input));
      TF_RETURN_IF_ERROR(c->WithRank(c->input(0), 4, &x));
      TF_RETURN_IF_ERROR(c->WithRank(c->input(1), 4, &kernel));
      TF_RETURN_IF_ERROR(c->ReplaceDim(x, 3, c->Dim(kernel, towards_input ? 2 : 3), &y));
      c->set_output(0, y);
      return absl::OkStatus();
    })
    .Doc(R"doc(
Convolution of x (n, h, w, in) by kernel (3, 3, in, out) with stride 1 and SAME padding, plus the
bias (out), which may be empty. With `towards_input`, x is the gradient towards a result and y the
gradient towards its input. `level` limits the instruction set.
)doc");

template <typename T>
class WinogradConv2DOp : public tensorflow::OpKernel {
 public:
  explicit WinogradConv2DOp(tensorflow::OpKernelConstruction* ctx) : OpKernel(ctx) {
    OP_REQUIRES_OK(ctx, ctx->GetAttr("towards_input", &towards_input_));
    OP_REQUIRES_OK(ctx, winograd::ReadKernels(ctx, &kernels_));
  }

  void Compute(tensorflow::OpKernelContext* ctx) override {
    using winograd::Groups;
    const tensorflow::Tensor &x = ctx->input(0), &weights = ctx->input(1), &bias = ctx->input(2);
    OP_REQUIRES(ctx,
                x.dims() == 4 && weights.dims() == 4 && weights.dim_size(0) == 3 &&
                    weights.dim_size(1) == 3 &&
                    x.dim_size(3) == weights.dim_size(towards_input_ ? 3 : 2),
                winograd::Misfit(x, "a kernel", weights));
    const winograd::Kernel kernel = {weights.flat<float>().data(), weights.dim_size(2),
                                     weights.dim_size(3), towards_input_};
    OP_REQUIRES(ctx, bias.NumElements() == 0 || bias.NumElements() == kernel.outputs(),
                tensorflow::errors::InvalidArgument("a bias of shape ", bias.shape().DebugString(),
                                                    " for ", kernel.outputs(), " channels"));
    tensorflow::TensorShape shape = x.shape();
    shape.set_dim(3, kernel.outputs());
    tensorflow::Tensor* y;
    OP_REQUIRES_OK(ctx, ctx->allocate_output(0, shape, &y));
    if (y->NumElements() == 0) return;

    const winograd::Kernels<T>& k = *kernels_;
    const winograd::Image<T> from(x), to(*y);
    const int64_t panel = 2 * k.lanes, panels = Groups(kernel.outputs(), panel);
    const int64_t steps = Groups(kernel.inputs(), k.lanes * k.depth) * k.lanes;
    const int64_t a_panel = 16 * steps * panel;
    tensorflow::Tensor factors;
    OP_REQUIRES_OK(ctx, ctx->allocate_temp(tensorflow::DT_FLOAT, {panels * a_panel}, &factors));
    float* right = factors.flat<float>().data();
    RunJobs(ctx, panels, a_panel * 2,
            [&](int64_t number) { k.transform_kernel(kernel, number, right + number * a_panel); });

    const int64_t tiles = from.tiles();
    const int64_t threads = ctx->device()->tensorflow_cpu_worker_threads()->num_threads;
    const int64_t most = std::max<int64_t>(kBlock / (64 * steps), kFewest);
    const int64_t size = Groups(tiles, Groups(tiles, most * threads) * threads);
    const std::vector<T> zeros(kernel.inputs(), T(0));
    std::vector<float> shift(panels * panel);
    std::copy_n(bias.flat<float>().data(), bias.NumElements(), shift.begin());
    RunJobs(ctx, Groups(tiles, size), 2 * size * steps * panels * panel, [&](int64_t number) {
      const int64_t first = number * size, count = std::min(size, tiles - first);
      const auto scratch = winograd::Allocate(16 * count * (steps + panel));
      k.convolve_tiles(from, to, y->flat<T>().data(), right, shift.data(), first, count,
                       zeros.data(), scratch.get());
    });
  }

 private:
  static constexpr int64_t kBlock = 1 << 21;  // bytes of transformed input at a time: about the L2
  static constexpr int64_t kFewest = 28;      // tiles at a time that the kernel is read for
  const winograd::Kernels<T>* kernels_;
  bool towards_input_;
};

REGISTER_OP("DflTf>WinogradFilterGradient")
    .Attr("T: {float, bfloat16}")
    .Attr("level: {'best', 'avx2'} = 'best'")
    .Input("x: T")
    .Input("upstream: T")
    .Output("gradient: float")
    .Output("bias_gradient: float")
    .SetShapeFn([](tensorflow::shape_inference::InferenceContext* c) {
      tensorflow::shape_inference::ShapeHandle x, upstream;
      TF_RETURN_IF_ERROR(c->WithRank(c->input(0), 4, &x));
      TF_RETURN_IF_ERROR(c->WithRank(c->input(1), 4, &upstream));
      c->set_output(
          0, c->MakeShape({c->MakeDim(3), c->MakeDim(3), c->Dim(x, 3), c->Dim(upstream, 3)}));
      c->set_output(1, c->Vector(c->Dim(upstream, 3)));
      return absl::OkStatus();
    })
    .Doc(R"doc(
Gradients of the kernel (3, 3, in, out) and the bias (out) of DflTf>WinogradConv2D from its input x
(n, h, w, in) and the gradient `upstream` (n, h, w, out) towards its result.
)doc");

template <typename T>
class WinogradFilterGradientOp : public tensorflow::OpKernel {
 public:
  explicit WinogradFilterGradientOp(tensorflow::OpKernelConstruction* ctx) : OpKernel(ctx) {
    OP_REQUIRES_OK(ctx, winograd::ReadKernels(ctx, &kernels_));
  }

  void Compute(tensorflow::OpKernelContext* ctx) override {
    using winograd::Groups, winograd::kChain;
    const tensorflow::Tensor &x = ctx->input(0), &upstream = ctx->input(1);
    bool fits = x.dims() == 4 && upstream.dims() == 4;
    for (int axis = 0; fits && axis < 3; ++axis) fits = x.dim_size(axis) == upstream.dim_size(axis);
    OP_REQUIRES(ctx, fits, winograd::Misfit(x, "an upstream gradient", upstream));
    const int64_t inputs = x.dim_size(3), outputs = upstream.dim_size(3);
    tensorflow::Tensor *gradient, *bias_gradient;
    OP_REQUIRES_OK(ctx, ctx->allocate_output(0, {3, 3, inputs, outputs}, &gradient));
    OP_REQUIRES_OK(ctx, ctx->allocate_output(1, {outputs}, &bias_gradient));
    const winograd::Image<T> from(x), to(upstream);
    const int64_t tiles = from.tiles();
    if (tiles == 0 || gradient->NumElements() == 0) {
      std::fill_n(gradient->flat<float>().data(), gradient->NumElements(), 0.0f);
      std::fill_n(bias_gradient->flat<float>().data(), outputs, 0.0f);
      return;
    }

    const winograd::Kernels<T>& k = *kernels_;
    const int64_t panel = 2 * k.lanes, panels = Groups(outputs, panel);
    const int64_t groups = Groups(inputs, k.lanes);
    const int64_t chains = std::max<int64_t>(kChunk / (64 * kChain * (inputs + outputs)), 1);
    const int64_t most = std::min(chains * kChain, Groups(tiles, k.depth));
    tensorflow::Tensor left_factors, right_factors;
    OP_REQUIRES_OK(ctx, ctx->allocate_temp(tensorflow::DT_FLOAT, {16 * groups * k.lanes * most},
                                           &left_factors));
    OP_REQUIRES_OK(ctx, ctx->allocate_temp(tensorflow::DT_FLOAT, {16 * panels * panel * most},
                                           &right_factors));
    float* left = left_factors.flat<float>().data();
    float* right = right_factors.flat<float>().data();
    float* result = gradient->flat<float>().data();
    const std::vector<T> zeros(std::max(inputs, outputs), T(0));
    std::vector<float> upstream_sums(panels * panel);
    for (int64_t first = 0; first < tiles; first += most * k.depth) {
      const int64_t count = std::min(most * k.depth, tiles - first);
      const int64_t steps = Groups(count, k.depth);
      RunJobs(ctx, panels, 16 * panel * count, [&](int64_t number) {
        k.transform_upstream(to, number, first, count, zeros.data(),
                             right + number * 16 * steps * panel, &upstream_sums[number * panel]);
      });
      RunJobs(ctx, Groups(steps, kShare), 16 * groups * k.lanes * kShare, [&](int64_t number) {
        const int64_t begin = number * kShare, end = std::min(begin + kShare, steps);
        k.transform_input(from, first, count, begin, end, zeros.data(), left);
      });
      RunJobs(ctx, panels * groups, 16 * steps * panel, [&](int64_t number) {
        const int64_t which = number / groups, group = number % groups;
        k.add_filter_gradient(left, right + which * 16 * steps * panel, groups, group, which, steps,
                              first > 0, inputs, outputs, result);
      });
    }
    std::copy_n(upstream_sums.begin(), outputs, bias_gradient->flat<float>().data());
  }

 private:
  // About the bytes of transformed tiles at a time; the sums depend on it, so it may not depend on
  // the CPU.
  static constexpr int64_t kChunk = 1 << 25;
  static constexpr int64_t kShare = 32;  // steps that a job transforms
  const winograd::Kernels<T>* kernels_;
};

#define DFL_TF_REGISTER(T)                                                                        \
  REGISTER_KERNEL_BUILDER(                                                                        \
      Name("DflTf>WinogradConv2D").Device(tensorflow::DEVICE_CPU).TypeConstraint<T>("T"),         \
      WinogradConv2DOp<T>);                                                                       \
  REGISTER_KERNEL_BUILDER(                                                                        \
      Name("DflTf>WinogradFilterGradient").Device(tensorflow::DEVICE_CPU).TypeConstraint<T>("T"), \
      WinogradFilterGradientOp<T>)
DFL_TF_REGISTER(float);
DFL_TF_REGISTER(tensorflow::bfloat16);
#undef DFL_TF_REGISTER

}  // namespace dfl_tf
