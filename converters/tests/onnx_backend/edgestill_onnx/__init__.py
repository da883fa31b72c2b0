"""ONNX as a backend of Edgestill: `engine.py` for devices, `backend.py` for the host that converts."""
