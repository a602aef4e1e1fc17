"""Models for other programs: DFM and XSeg files (ONNX), and the checks that they must pass.

The ONNX packages are the optional extra ``[export]``; they are imported only when used.
"""
