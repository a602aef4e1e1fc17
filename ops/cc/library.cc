// The whole library as one translation unit: TensorFlow's headers cost 15 s each time they are
// read.

#include "blur_pool.cc"
#include "dropout_mask.cc"
#include "frn_tlu.cc"
#include "global_norm.cc"
#include "resource_apply.cc"
#include "resource_apply_adabelief.cc"
#include "resource_apply_rmsprop.cc"
#include "winograd.cc"

// The loader reads these texts from the file before it loads the library (native.py).
extern "C" __attribute__((used, visibility("default"))) const char dfl_tf_built_for[] =
    "DFL_TF_BUILT_FOR=" DFL_TF_BUILT_FOR ";DFL_TF_BUILT_FROM=" DFL_TF_BUILT_FROM ";";
