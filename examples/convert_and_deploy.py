"""Teacher → student → two int8 files → run them: the main job in 30 lines.

python examples/convert_and_deploy.py            # a few minutes on 2 cores; --epochs 1 to try it out
"""

import argparse
from pathlib import Path

import edgestill as es
from edgestill_runtime import load

parser = argparse.ArgumentParser()
parser.add_argument("--epochs", type=int, default=20)
epochs = parser.parse_args().epochs

# Real images that ship with the package, and a teacher that has seen the complete set.
data = es.load_data("fashion-mnist-mini")
checkpoint = Path(__file__).parents[1] / "recipes" / "teachers" / "fashion-mnist.safetensors"
teacher = es.load_teacher("resnet8_m", data, checkpoint=checkpoint)

# Distil it into 14,650 parameters.
student = es.create_student("dscnn_s", data)
result = es.distill(teacher, student, data, objective=es.objectives.DIST(), epochs=epochs)

# One quantization, both formats, golden samples, hashes: one bundle.
bundle = es.convert(result.student, data, output="fashion.edge", overwrite=True)

# On the device, numpy and an engine are enough.
for engine in ("litert", "executorch"):
    with load(bundle, engine=engine) as model:
        accuracy = (model.logits(data.test.images).argmax(1) == data.test.targets).mean()
        label, score = model.predict(data.test.images[0])[0]
        print(f"{model.engine}: accuracy {accuracy:.2%}, the first image is a {label} ({score:.0%})")
