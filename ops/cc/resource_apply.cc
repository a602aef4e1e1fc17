#include "resource_apply.h"

#include <algorithm>
#include <functional>

#include "tensorflow/core/util/work_sharder.h"

namespace dfl_tf {

using ::tensorflow::mutex;
using ::tensorflow::mutex_lock;
using ::tensorflow::OpInputList;
using ::tensorflow::OpKernelConstruction;
using ::tensorflow::OpKernelContext;
using ::tensorflow::Tensor;
using ::tensorflow::Var;
using ::tensorflow::core::RefCountPtr;
using ::tensorflow::shape_inference::InferenceContext;
using ::tensorflow::shape_inference::ShapeHandle;

absl::Status ApplyShape(InferenceContext* c, const std::vector<std::string>& lists,
                        const std::vector<std::string>& scalars) {
  std::vector<ShapeHandle> grads;
  TF_RETURN_IF_ERROR(c->input("grad", &grads));
  int first = 0;  // the resource lists are the first inputs, one after the other
  for (size_t list = 0; list < lists.size(); ++list) {
    for (size_t i = 0; i < grads.size(); ++i, ++first) {
      const auto* handle = c->input_handle_shapes_and_types(first);
      if (handle == nullptr || handle->empty()) continue;
      ShapeHandle merged;
      if (!c->Merge(grads[i], (*handle)[0].shape, &merged).ok()) {
        return tensorflow::errors::InvalidArgument(
            "grad[", i, "] has shape ", c->DebugString(grads[i]), ", but ", lists[list], "[", i,
            "] has shape ", c->DebugString((*handle)[0].shape));
      }
      grads[i] = merged;
    }
  }
  for (const std::string& name : scalars) {
    std::vector<ShapeHandle> shape;
    TF_RETURN_IF_ERROR(c->input(name, &shape));
    TF_RETURN_IF_ERROR(c->WithRank(shape[0], 0, &shape[0]));
  }
  return absl::OkStatus();
}

absl::Status LockedVariables::Acquire(OpKernelContext* ctx, const std::vector<std::string>& lists,
                                      const OpInputList& grads) {
  count_ = grads.size();
  for (const std::string& name : lists) {
    OpInputList handles;
    TF_RETURN_IF_ERROR(ctx->input_list(name, &handles));
    for (const Tensor& handle : handles) {
      RefCountPtr<Var> var;
      TF_RETURN_IF_ERROR(LookupResource(ctx, handle.scalar<tensorflow::ResourceHandle>()(), &var));
      vars_.push_back(std::move(var));
    }
  }
  std::vector<mutex*> mutexes;
  for (const auto& var : vars_) mutexes.push_back(var->mu());
  std::sort(mutexes.begin(), mutexes.end(), std::less<mutex*>());
  if (std::adjacent_find(mutexes.begin(), mutexes.end()) != mutexes.end()) {
    return tensorflow::errors::InvalidArgument("a variable or slot was given twice");
  }
  for (mutex* mu : mutexes) locks_.push_back(std::make_unique<mutex_lock>(*mu));

  for (size_t k = 0; k < vars_.size(); ++k) {
    Tensor* tensor = vars_[k]->tensor();
    const Tensor& grad = grads[k % count_];
    if (!tensor->IsInitialized()) {
      return tensorflow::errors::FailedPrecondition(lists[k / count_], "[", k % count_,
                                                    "] is not initialized");
    }
    if (tensor->shape() != grad.shape() || tensor->dtype() != grad.dtype()) {
      return tensorflow::errors::InvalidArgument(
          lists[k / count_], "[", k % count_, "] is ", DataTypeString(tensor->dtype()),
          " of shape ", tensor->shape().DebugString(), ", its gradient ",
          DataTypeString(grad.dtype()), " of shape ", grad.shape().DebugString());
    }
    if (!vars_[k]->copy_on_read_mode.load() && !tensor->RefCountIsOne()) {
      Tensor own;
      TF_RETURN_IF_ERROR(ctx->allocate_temp(tensor->dtype(), tensor->shape(), &own));
      std::copy_n(tensor->tensor_data().data(), tensor->tensor_data().size(),
                  const_cast<char*>(own.tensor_data().data()));
      *tensor = own;
    }
  }
  return absl::OkStatus();
}

absl::Status Dropout::Read(OpKernelConstruction* ctx) {
  int count;
  TF_RETURN_IF_ERROR(ctx->GetAttr("N", &count));
  TF_RETURN_IF_ERROR(ctx->GetAttr("keep", &keep));
  TF_RETURN_IF_ERROR(ctx->GetAttr("seed", &seed));
  TF_RETURN_IF_ERROR(ctx->GetAttr("indices", &indices));
  if (!(keep >= 0 && keep <= 1)) {
    return tensorflow::errors::InvalidArgument("keep must lie in 0 ... 1, got ", keep);
  }
  if (static_cast<int>(indices.size()) != count) {
    return tensorflow::errors::InvalidArgument(indices.size(), " indices for ", count,
                                               " variables");
  }
  return absl::OkStatus();
}

std::vector<Job> DivideIntoJobs(const OpInputList& tensors) {
  std::vector<Job> jobs;
  for (int i = 0; i < tensors.size(); ++i) {
    const int64_t size = tensors[i].NumElements();
    for (int64_t begin = 0; begin < size; begin += kJobSize) {
      jobs.push_back({i, begin, std::min(kJobSize, size - begin)});
    }
  }
  return jobs;
}

void RunJobs(OpKernelContext* ctx, int64_t count, int64_t cycles_per_job,
             const std::function<void(int64_t)>& work) {
  const auto& threads = *ctx->device()->tensorflow_cpu_worker_threads();
  tensorflow::Shard(threads.num_threads, threads.workers, count, cycles_per_job,
                    [&work](int64_t begin, int64_t end) {
                      for (int64_t i = begin; i < end; ++i) work(i);
                    });
}

}  // namespace dfl_tf
