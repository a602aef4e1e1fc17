// DflTf>ResourceApplyAdabelief: one AdaBelief step over all variables of an optimizer.

#include <algorithm>
#include <cmath>

#include "resource_apply.h"
#include "tensorflow/core/framework/op.h"

namespace dfl_tf {

template <typename T>
struct AdabeliefFactors {
  T rate, scale, beta_1, beta_2, rest_1, rest_2, epsilon;
};

template <typename T>
struct AdabeliefSpan {
  T *var, *m, *v;
  const T* grad;
};

// Entry i moves if words[i] < limit (always, if not kMasked); its slots follow in any case.
template <bool kMasked, typename T>
DFL_TF_INLINE void UpdateAdabeliefSpan(const AdabeliefFactors<T>& f, const AdabeliefSpan<T>& span,
                                       int64_t size, const uint32_t* __restrict words,
                                       uint32_t limit) {
  T* __restrict var = span.var;
  T* __restrict m = span.m;
  T* __restrict v = span.v;
  const T* __restrict grad = span.grad;
  for (int64_t i = 0; i < size; ++i) {
    const T g = grad[i] * f.scale;
    const T mean = f.beta_1 * m[i] + f.rest_1 * g;
    const T off = g - mean;
    const T spread = f.beta_2 * v[i] + f.rest_2 * (off * off);
    const T delta = -f.rate * mean / (std::sqrt(spread) + f.epsilon);
    m[i] = mean;
    v[i] = spread;
    var[i] += !kMasked || words[i] < limit ? delta : T(0);
  }
}

template <typename T>
DFL_TF_INLINE void UpdateAdabeliefJob(const AdabeliefFactors<T>& f, const AdabeliefSpan<T>& span,
                                      const Job& job, bool masked, const MaskKey& key,
                                      uint32_t limit) {
  if (!masked) {
    UpdateAdabeliefSpan<false, T>(
        f, {span.var + job.begin, span.m + job.begin, span.v + job.begin, span.grad + job.begin},
        job.size, nullptr, 0);
    return;
  }
  alignas(64) uint32_t words[kTile];
  for (int64_t done = 0; done < job.size; done += kTile) {
    const int64_t at = job.begin + done;
    DrawTile(key, at / kTile, words);
    UpdateAdabeliefSpan<true, T>(f, {span.var + at, span.m + at, span.v + at, span.grad + at},
                                 std::min(kTile, job.size - done), words, limit);
  }
}

DFL_TF_CLONES void UpdateAdabelief(const AdabeliefFactors<float>& f,
                                   const AdabeliefSpan<float>& span, const Job& job, bool masked,
                                   const MaskKey& key, uint32_t limit) {
  UpdateAdabeliefJob(f, span, job, masked, key, limit);
}

DFL_TF_CLONES void UpdateAdabelief(const AdabeliefFactors<double>& f,
                                   const AdabeliefSpan<double>& span, const Job& job, bool masked,
                                   const MaskKey& key, uint32_t limit) {
  UpdateAdabeliefJob(f, span, job, masked, key, limit);
}

REGISTER_OP("DflTf>ResourceApplyAdabelief")
    .Attr("N: int >= 1")
    .Attr("T: {float, double}")
    .Attr("keep: float = 1.0")
    .Attr("seed: int = 0")
    .Attr("indices: list(int)")
    .Input("var: N * resource")
    .Input("m: N * resource")
    .Input("v: N * resource")
    .Input("grad: N * T")
    .Input("learning_rate: T")
    .Input("clip_scale: T")
    .Input("step: int64")
    .Input("beta_1: double")
    .Input("beta_2: double")
    .Input("epsilon: double")
    .SetIsStateful()
    .SetShapeFn([](tensorflow::shape_inference::InferenceContext* c) {
      return ApplyShape(c, {"var", "m", "v"},
                        {"learning_rate", "clip_scale", "step", "beta_1", "beta_2", "epsilon"});
    })
    .Doc(R"doc(
One AdaBelief step, in place: g = grad * clip_scale; m = beta_1 m + (1 - beta_1) g;
v = beta_2 v + (1 - beta_2) (g - m)^2; var -= learning_rate m / (sqrt(v) + epsilon),
the last only where the mask of (seed, indices[i], step) keeps the entry.
)doc");

template <typename T>
class ResourceApplyAdabeliefOp : public tensorflow::OpKernel {
 public:
  explicit ResourceApplyAdabeliefOp(tensorflow::OpKernelConstruction* ctx) : OpKernel(ctx) {
    OP_REQUIRES_OK(ctx, dropout_.Read(ctx));
  }

  void Compute(tensorflow::OpKernelContext* ctx) override {
    AdabeliefFactors<T> f;
    int64_t step;
    double beta_1, beta_2, epsilon;
    OP_REQUIRES_OK(ctx, ReadScalar(ctx, "learning_rate", &f.rate));
    OP_REQUIRES_OK(ctx, ReadScalar(ctx, "clip_scale", &f.scale));
    OP_REQUIRES_OK(ctx, ReadScalar(ctx, "step", &step));
    OP_REQUIRES_OK(ctx, ReadScalar(ctx, "beta_1", &beta_1));
    OP_REQUIRES_OK(ctx, ReadScalar(ctx, "beta_2", &beta_2));
    OP_REQUIRES_OK(ctx, ReadScalar(ctx, "epsilon", &epsilon));
    f.beta_1 = static_cast<T>(beta_1);
    f.beta_2 = static_cast<T>(beta_2);
    f.rest_1 = static_cast<T>(1 - beta_1);
    f.rest_2 = static_cast<T>(1 - beta_2);
    f.epsilon = static_cast<T>(epsilon);

    tensorflow::OpInputList grads;
    OP_REQUIRES_OK(ctx, ctx->input_list("grad", &grads));
    LockedVariables variables;
    OP_REQUIRES_OK(ctx, variables.Acquire(ctx, {"var", "m", "v"}, grads));
    std::vector<AdabeliefSpan<T>> spans;
    for (int i = 0; i < grads.size(); ++i) {
      spans.push_back({variables.data<T>(0, i), variables.data<T>(1, i), variables.data<T>(2, i),
                       grads[i].template flat<T>().data()});
    }
    const std::vector<Job> jobs = DivideIntoJobs(grads);
    RunJobs(ctx, jobs.size(), kJobSize * 4, [&](int64_t number) {
      const Job& job = jobs[number];
      UpdateAdabelief(f, spans[job.variable], job, dropout_.active(),
                      dropout_.key(job.variable, step), dropout_.active() ? dropout_.limit() : 0);
    });
  }

 private:
  Dropout dropout_;
};

REGISTER_KERNEL_BUILDER(
    Name("DflTf>ResourceApplyAdabelief").Device(tensorflow::DEVICE_CPU).TypeConstraint<float>("T"),
    ResourceApplyAdabeliefOp<float>);
REGISTER_KERNEL_BUILDER(
    Name("DflTf>ResourceApplyAdabelief").Device(tensorflow::DEVICE_CPU).TypeConstraint<double>("T"),
    ResourceApplyAdabeliefOp<double>);

}  // namespace dfl_tf
