"""Private APIs of libraries, one file for each library: nothing else here uses a name that a library calls private.

Each use exists because the public API has no way to do the same; its docstring says what it is for. A new version of
a library may move such a name without notice: `converters/tests/test_private_apis.py` exercises each one and says
which library has changed. A file is imported by the code that needs it, since no backend needs the library of another.

The private call into ai-edge-litert is in `backends/litert/delegation.py`, a script that runs outside this package.
"""
