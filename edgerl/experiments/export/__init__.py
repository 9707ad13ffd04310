"""A trained policy as one ONNX file, which is compared with the program before it is written."""
