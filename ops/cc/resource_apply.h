#ifndef DFL_TF_OPS_CC_RESOURCE_APPLY_H_
#define DFL_TF_OPS_CC_RESOURCE_APPLY_H_

// What the fused optimizer ops share: inputs, locks, in-place access, division into jobs.

#include <cmath>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "cpu_dispatch.h"
#include "dropout_mask.h"
#include "tensorflow/core/framework/op_kernel.h"
#include "tensorflow/core/framework/resource_mgr.h"
#include "tensorflow/core/framework/resource_var.h"
#include "tensorflow/core/framework/shape_inference.h"
#include "tensorflow/core/platform/mutex.h"

namespace dfl_tf {

// Elements of one piece of work: a multiple of kTile, small enough to balance, large enough to pay.
constexpr int64_t kJobSize = 64 * kTile;

// Checks that the resources of all `lists` and the gradients have pairwise equal shapes, and that
// the named inputs are scalars.
absl::Status ApplyShape(tensorflow::shape_inference::InferenceContext* c,
                        const std::vector<std::string>& lists,
                        const std::vector<std::string>& scalars);

// The variables of several input lists, held and locked for writing in the order of their
// addresses, so that two ops over the same variables cannot wait for each other.
class LockedVariables {
 public:
  // Looks up, locks, checks against `grads` and makes every buffer the variable's own: a buffer
  // that is still read elsewhere is copied first, the reader keeps the old values.
  absl::Status Acquire(tensorflow::OpKernelContext* ctx, const std::vector<std::string>& lists,
                       const tensorflow::OpInputList& grads);

  template <typename T>
  T* data(int list, int i) {
    return vars_[list * count_ + i]->tensor()->template flat<T>().data();
  }

 private:
  int count_ = 0;
  std::vector<tensorflow::core::RefCountPtr<tensorflow::Var>> vars_;
  std::vector<std::unique_ptr<tensorflow::mutex_lock>> locks_;  // after vars_: released first
};

// Which entries move.
struct Dropout {
  float keep = 1;
  int64_t seed = 0;
  std::vector<int64_t> indices;

  absl::Status Read(tensorflow::OpKernelConstruction* ctx);
  bool active() const { return keep < 1; }
  // Words below it keep their entry: floor(keep * 2^32).
  uint32_t limit() const {
    return static_cast<uint32_t>(std::floor(static_cast<double>(keep) * 4294967296.0));
  }
  MaskKey key(int i, int64_t step) const {
    return {static_cast<uint32_t>(seed), static_cast<uint32_t>(indices[i]),
            static_cast<uint64_t>(step)};
  }
};

// A piece of one variable.
struct Job {
  int variable;
  int64_t begin;
  int64_t size;
};

std::vector<Job> DivideIntoJobs(const tensorflow::OpInputList& tensors);

// Runs work(job number) for all jobs on TensorFlow's pool of this device.
void RunJobs(tensorflow::OpKernelContext* ctx, int64_t count, int64_t cycles_per_job,
             const std::function<void(int64_t)>& work);

// Reads a scalar input, or fails with its name and shape.
template <typename T>
absl::Status ReadScalar(tensorflow::OpKernelContext* ctx, const char* name, T* value) {
  const tensorflow::Tensor* tensor;
  TF_RETURN_IF_ERROR(ctx->input(name, &tensor));
  if (tensor->NumElements() != 1) {
    return tensorflow::errors::InvalidArgument(name, " must be a scalar, got shape ",
                                               tensor->shape().DebugString());
  }
  *value = tensor->template flat<T>()(0);
  return absl::OkStatus();
}

}  // namespace dfl_tf

#endif  // DFL_TF_OPS_CC_RESOURCE_APPLY_H_
