"""Private APIs of torch and accelerate, one file for each: nothing else here uses a name that they call private.

Each use exists because the public API has no way to do the same. A new version of a library may move such a name
without notice: `sdk/tests/test_private_apis.py` exercises each one and says which library has changed.
"""
