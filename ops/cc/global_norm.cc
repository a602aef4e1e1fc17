// DflTf>GlobalNorm: square root of the sum of all squares of many tensors.

#include <cmath>
#include <vector>

#include "resource_apply.h"
#include "tensorflow/core/framework/op.h"

namespace dfl_tf {

// How far ahead memory is asked for: the sum is limited by it, and the hardware alone is late.
constexpr int64_t kAhead = 2048;  // bytes

// Sums in 16 fixed lanes, so that neither the vector width nor the compiler changes the result.
template <typename T>
DFL_TF_INLINE double SumSquares(const T* __restrict x, int64_t size) {
  constexpr int kLanes = 16;
  double lanes[kLanes] = {};
  int64_t i = 0;
  for (; i + kLanes <= size; i += kLanes) {
    DFL_TF_PREFETCH(reinterpret_cast<const char*>(x + i) + kAhead);
    for (int lane = 0; lane < kLanes; ++lane) {
      const double value = static_cast<double>(x[i + lane]);
      lanes[lane] += value * value;
    }
  }
  for (int lane = 0; i < size; ++i, ++lane) {
    lanes[lane] += static_cast<double>(x[i]) * static_cast<double>(x[i]);
  }
  double total = 0;
  for (double lane : lanes) total += lane;
  return total;
}

DFL_TF_CLONES double ChunkSum(const float* x, int64_t size) { return SumSquares(x, size); }
DFL_TF_CLONES double ChunkSum(const double* x, int64_t size) { return SumSquares(x, size); }

REGISTER_OP("DflTf>GlobalNorm")
    .Attr("N: int >= 1")
    .Attr("T: {float, double}")
    .Input("tensors: N * T")
    .Output("norm: T")
    .SetShapeFn([](tensorflow::shape_inference::InferenceContext* c) {
      c->set_output(0, c->Scalar());
      return absl::OkStatus();
    })
    .Doc(R"doc(
Square root of the sum of all squares, added in float64 over fixed chunks: the number of threads
does not change the result.
)doc");

template <typename T>
class GlobalNormOp : public tensorflow::OpKernel {
 public:
  using OpKernel::OpKernel;

  void Compute(tensorflow::OpKernelContext* ctx) override {
    tensorflow::OpInputList tensors;
    OP_REQUIRES_OK(ctx, ctx->input_list("tensors", &tensors));
    const std::vector<Job> jobs = DivideIntoJobs(tensors);
    std::vector<double> sums(jobs.size());
    RunJobs(ctx, jobs.size(), kJobSize, [&](int64_t number) {
      const Job& job = jobs[number];
      sums[number] =
          ChunkSum(tensors[job.variable].template flat<T>().data() + job.begin, job.size);
    });
    double total = 0;
    for (double sum : sums) total += sum;
    tensorflow::Tensor* norm;
    OP_REQUIRES_OK(ctx, ctx->allocate_output(0, {}, &norm));
    norm->scalar<T>()() = static_cast<T>(std::sqrt(total));
  }
};

REGISTER_KERNEL_BUILDER(
    Name("DflTf>GlobalNorm").Device(tensorflow::DEVICE_CPU).TypeConstraint<float>("T"),
    GlobalNormOp<float>);
REGISTER_KERNEL_BUILDER(
    Name("DflTf>GlobalNorm").Device(tensorflow::DEVICE_CPU).TypeConstraint<double>("T"),
    GlobalNormOp<double>);

}  // namespace dfl_tf
