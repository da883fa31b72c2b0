"""The workflow: a recipe becomes stages, and each stage keeps its result on disk.

    stage.py        what a stage is: `make(inputs, folder, context)`      key.py     its key, made of exactly the inputs
    store.py        its folder: found finished, gone on with, or made     inputs.py  models, files and data as inputs
    teacher.py  student.py  conversion.py  evaluation.py                  the stages themselves; they know no recipe
    plan.py         a recipe, checked, with its data
    binding.py      what of a recipe each stage is handed
    graph.py        which stage needs which; the ends that are wanted
    run.py          `run` and `train_students`: the graph in a folder of their own
    bundle.py  results.py                                                 what is made of the stages in the end
    sweep.py        many recipes over one pool of stages; sweep_plan.py, sweep_summary.py, sweep_trial.py, sweep_ray.py

A new stage is a dataclass of inputs, a function with `@stage`, and a node in `binding.py` and `graph.py`.
"""
