"""File formats that others read too: TensorBoard's events, safetensors."""
