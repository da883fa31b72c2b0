"""Teacher → student → two int8 files → predictions, in 30 lines.

python examples/convert_and_deploy.py            # a few minutes on 2 cores; --epochs 1 to try it out
"""

import argparse
from pathlib import Path

import edgestill as es
from edgestill_runtime import load

parser = argparse.ArgumentParser()
parser.add_argument("--epochs", type=int, default=20)
epochs = parser.parse_args().epochs

# Images that ship with the package, and a teacher that was trained on the complete set.
data = es.load_data("fashion-mnist-mini")
checkpoint = Path(__file__).parents[1] / "recipes" / "teachers" / "fashion-mnist.safetensors"
teacher = es.load_teacher("resnet8_m", data, checkpoint=checkpoint)

# Distil the teacher into a student with 14,650 parameters.
student = es.create_student("dscnn_s", data)
result = es.distill(teacher, student, data, objective=es.objectives.DIST(), epochs=epochs)

# Quantize once, export both formats; the bundle also has golden samples and hashes.
bundle = es.convert(result.student, data, output="fashion.edge", overwrite=True)

# On a device this part needs only numpy and an engine.
for engine in ("litert", "executorch"):
    with load(bundle, engine=engine) as model:
        accuracy = (model.logits(data.test.images).argmax(1) == data.test.targets).mean()
        label, score = model.predict(data.test.images[0])[0]
        print(f"{model.engine}: accuracy {accuracy:.2%}, the first image is a {label} ({score:.0%})")
