from __future__ import annotations

import pytest


@pytest.fixture(params=["fallback", pytest.param("native", marks=pytest.mark.native)])
def backend(request, monkeypatch):
    """Run the test on plain TensorFlow ops and on the C++ library."""
    from dfl_tf_ops import native

    monkeypatch.setenv("DFL_TF_NATIVE", "off" if request.param == "fallback" else "require")
    native.forget()
    if request.param == "native":
        try:
            native.backend()
        except native.NativeUnavailableError as error:
            pytest.skip(str(error))
    yield request.param
    native.forget()
