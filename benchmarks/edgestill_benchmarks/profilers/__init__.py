"""Profilers of engines that report the times of their operators: one file an engine, found through `Package.profiler`.

Each has a function that runs a file until a callable reports that there are enough runs, and returns them. Its
arguments: the file's content, the tensors of one call, shape and dtype of each output, that callable.
"""
