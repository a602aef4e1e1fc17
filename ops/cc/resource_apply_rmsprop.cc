// DflTf>ResourceApplyRmsprop: one RMSprop step over all variables of an optimizer.

#include <algorithm>
#include <cmath>

#include "resource_apply.h"
#include "tensorflow/core/framework/op.h"

namespace dfl_tf {

template <typename T>
struct RmspropFactors {
  T rate, scale, rho, rest, epsilon;
};

template <typename T>
struct RmspropSpan {
  T *var, *acc;
  const T* grad;
};

// Entry i moves if words[i] < limit (always, if not kMasked); its slot follows in any case.
template <bool kMasked, typename T>
DFL_TF_INLINE void UpdateRmspropSpan(const RmspropFactors<T>& f, const RmspropSpan<T>& span,
                                     int64_t size, const uint32_t* __restrict words,
                                     uint32_t limit) {
  T* __restrict var = span.var;
  T* __restrict acc = span.acc;
  const T* __restrict grad = span.grad;
  for (int64_t i = 0; i < size; ++i) {
    const T g = grad[i] * f.scale;
    const T mean_square = f.rho * acc[i] + f.rest * (g * g);
    const T delta = -f.rate * g / (std::sqrt(mean_square) + f.epsilon);
    acc[i] = mean_square;
    var[i] += !kMasked || words[i] < limit ? delta : T(0);
  }
}

template <typename T>
DFL_TF_INLINE void UpdateRmspropJob(const RmspropFactors<T>& f, const RmspropSpan<T>& span,
                                    const Job& job, bool masked, const MaskKey& key,
                                    uint32_t limit) {
  if (!masked) {
    UpdateRmspropSpan<false, T>(f,
                                {span.var + job.begin, span.acc + job.begin, span.grad + job.begin},
                                job.size, nullptr, 0);
    return;
  }
  alignas(64) uint32_t words[kTile];
  for (int64_t done = 0; done < job.size; done += kTile) {
    const int64_t at = job.begin + done;
    DrawTile(key, at / kTile, words);
    UpdateRmspropSpan<true, T>(f, {span.var + at, span.acc + at, span.grad + at},
                               std::min(kTile, job.size - done), words, limit);
  }
}

DFL_TF_CLONES void UpdateRmsprop(const RmspropFactors<float>& f, const RmspropSpan<float>& span,
                                 const Job& job, bool masked, const MaskKey& key, uint32_t limit) {
  UpdateRmspropJob(f, span, job, masked, key, limit);
}

DFL_TF_CLONES void UpdateRmsprop(const RmspropFactors<double>& f, const RmspropSpan<double>& span,
                                 const Job& job, bool masked, const MaskKey& key, uint32_t limit) {
  UpdateRmspropJob(f, span, job, masked, key, limit);
}

REGISTER_OP("DflTf>ResourceApplyRmsprop")
    .Attr("N: int >= 1")
    .Attr("T: {float, double}")
    .Attr("keep: float = 1.0")
    .Attr("seed: int = 0")
    .Attr("indices: list(int)")
    .Input("var: N * resource")
    .Input("acc: N * resource")
    .Input("grad: N * T")
    .Input("learning_rate: T")
    .Input("clip_scale: T")
    .Input("step: int64")
    .Input("rho: double")
    .Input("epsilon: double")
    .SetIsStateful()
    .SetShapeFn([](tensorflow::shape_inference::InferenceContext* c) {
      return ApplyShape(c, {"var", "acc"},
                        {"learning_rate", "clip_scale", "step", "rho", "epsilon"});
    })
    .Doc(R"doc(
One RMSprop step, in place: g = grad * clip_scale; acc = rho acc + (1 - rho) g^2;
var -= learning_rate g / (sqrt(acc) + epsilon), the last only where the mask of
(seed, indices[i], step) keeps the entry.
)doc");

template <typename T>
class ResourceApplyRmspropOp : public tensorflow::OpKernel {
 public:
  explicit ResourceApplyRmspropOp(tensorflow::OpKernelConstruction* ctx) : OpKernel(ctx) {
    OP_REQUIRES_OK(ctx, dropout_.Read(ctx));
  }

  void Compute(tensorflow::OpKernelContext* ctx) override {
    RmspropFactors<T> f;
    int64_t step;
    double rho, epsilon;
    OP_REQUIRES_OK(ctx, ReadScalar(ctx, "learning_rate", &f.rate));
    OP_REQUIRES_OK(ctx, ReadScalar(ctx, "clip_scale", &f.scale));
    OP_REQUIRES_OK(ctx, ReadScalar(ctx, "step", &step));
    OP_REQUIRES_OK(ctx, ReadScalar(ctx, "rho", &rho));
    OP_REQUIRES_OK(ctx, ReadScalar(ctx, "epsilon", &epsilon));
    f.rho = static_cast<T>(rho);
    f.rest = static_cast<T>(1 - rho);
    f.epsilon = static_cast<T>(epsilon);

    tensorflow::OpInputList grads;
    OP_REQUIRES_OK(ctx, ctx->input_list("grad", &grads));
    LockedVariables variables;
    OP_REQUIRES_OK(ctx, variables.Acquire(ctx, {"var", "acc"}, grads));
    std::vector<RmspropSpan<T>> spans;
    for (int i = 0; i < grads.size(); ++i) {
      spans.push_back(
          {variables.data<T>(0, i), variables.data<T>(1, i), grads[i].template flat<T>().data()});
    }
    const std::vector<Job> jobs = DivideIntoJobs(grads);
    RunJobs(ctx, jobs.size(), kJobSize * 4, [&](int64_t number) {
      const Job& job = jobs[number];
      UpdateRmsprop(f, spans[job.variable], job, dropout_.active(),
                    dropout_.key(job.variable, step), dropout_.active() ? dropout_.limit() : 0);
    });
  }

 private:
  Dropout dropout_;
};

REGISTER_KERNEL_BUILDER(
    Name("DflTf>ResourceApplyRmsprop").Device(tensorflow::DEVICE_CPU).TypeConstraint<float>("T"),
    ResourceApplyRmspropOp<float>);
REGISTER_KERNEL_BUILDER(
    Name("DflTf>ResourceApplyRmsprop").Device(tensorflow::DEVICE_CPU).TypeConstraint<double>("T"),
    ResourceApplyRmspropOp<double>);

}  // namespace dfl_tf
