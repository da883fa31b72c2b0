"""Engines that tell the times of their operators: one file an engine, found through `Package.profiler`.

Each has a function of the file's content, the tensors of one call, shape and dtype of its outputs, and what says when
it is enough; it runs the file until then and returns each run.
"""
