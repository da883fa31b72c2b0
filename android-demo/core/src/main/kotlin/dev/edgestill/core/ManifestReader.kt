package dev.edgestill.core

import dev.edgestill.core.tasks.taskOf
import java.io.InputStreamReader
import java.nio.charset.CodingErrorAction

// The same rules as `edgestill_runtime/manifest.py`: every field is looked at before it is used, and what is not
// understood is refused with its place.

const val MAX_MANIFEST_BYTES = 1 shl 20
private const val MAX_FILE_BYTES = 1L shl 32
private const val MAX_TENSORS = 64
private val DTYPES = listOf("float32", "float64", "float16", "int8", "uint8", "int16", "int32", "int64", "bool")

// An engine may be one that this app has not: its files are not run here, all others are.
private val ENGINE_NAME = Regex("[a-z0-9][a-z0-9-]{0,39}")
private val PRECISIONS = listOf("int8", "mixed", "fp32")
private const val FILE_NAME = "[A-Za-z0-9][A-Za-z0-9._-]{0,99}"
private const val MAX_DEPTH = 8
private const val MAX_PATH = 255

// Of a model file that is a folder, its members: `model.mlpackage/weights/weight.bin`.
private val FILE_PATH = Regex("$FILE_NAME(/$FILE_NAME){0,$MAX_DEPTH}")
/** Types of tensors that may have a scale, and their bits. */
private val QUANTIZED = mapOf("int8" to 8, "uint8" to 8, "int16" to 16, "int32" to 32)
private const val LEAST_SCALE = java.lang.Float.MIN_NORMAL.toDouble() // of the numbers that float32 holds in full
private val SHA256 = Regex("[0-9a-f]{64}")

/**
 * Read `manifest.json`: the manifest, and what every other file of the bundle must be.
 *
 * @throws IllegalArgumentException it is too large, no JSON, of another format version, a field is missing or not as it
 *   must be, or two of them contradict each other.
 */
fun parseManifest(content: ByteArray): Pair<Manifest, Map<String, FileEntry>> {
    require(content.size <= MAX_MANIFEST_BYTES) { "it is larger than $MAX_MANIFEST_BYTES bytes" }
    val decoder = Charsets.UTF_8.newDecoder().onMalformedInput(CodingErrorAction.REPORT)
    val data = readJson(InputStreamReader(content.inputStream(), decoder))
    require(data is Map<*, *>) { "it is no JSON object" }
    val version = (data["format_version"] as? JsonNumber)?.toLong()
    require(version in READ_VERSIONS) {
        "it has format version ${repr(data["format_version"]).take(40)}; this app reads ${READ_VERSIONS.joinToString(" and ")}. " +
            "Update the app, or make the bundle again"
    }
    val top = Fields(ofToday(data, checkNotNull(version)), "")
    val files = top.items("files").associate { (name, entry) -> name to fileEntry(entry) }
    val models = top.items("models").associate { (name, entry) -> name to modelFile(entry) }
    checkNames(files.keys, models.keys)
    return manifest(top, models).also { checkTogether(it) } to files
}

/** Refuse paths that are none, that lie in a folder which is no model file, or that are both file and folder. */
private fun checkNames(files: Set<String>, models: Set<String>) {
    for (path in files) {
        val safe = FILE_PATH.matches(path) && path.length <= MAX_PATH && path != MANIFEST && path != SIGNATURE
        require(safe && ('/' !in path || path.substringBefore('/') in models)) { "it names a file that no bundle holds: ${repr(path).take(120)}" }
        val inside = files.firstOrNull { it.startsWith("$path/") }
        require(inside == null) { "it names ${repr(path).take(120)} as a file and as a folder, of ${repr(inside).take(120)}" }
    }
    val unlisted = models.filter { members(it, files).isEmpty() }
    require(unlisted.isEmpty()) { "it lists no hash for ${unlisted.sorted().joinToString()}" }
}

private fun fileEntry(entry: Fields): FileEntry {
    val digest = entry.text("sha256")
    require(SHA256.matches(digest)) { "${entry.place}sha256 must be 64 lower-case hex digits" }
    return FileEntry(digest, entry.count("bytes", most = MAX_FILE_BYTES))
}

private fun modelFile(entry: Fields) =
    ModelFile(
        engine = engine(entry),
        precision = entry.choice("precision", PRECISIONS),
        inputs = tensorSpecs(entry, "inputs"),
        outputs = tensorSpecs(entry, "outputs"),
        exporter = entry.text("exporter"),
        quality = if (entry.isNull("quality")) mapOf() else Fields(entry.map("quality"), "${entry.place}quality.").numbers(),
        floatNodes = if (entry.has("float_nodes")) entry.each("float_nodes", 1 shl 12) { text(it) } else listOf(),
        floatMacs = entry.share("float_macs"),
    )

private fun engine(entry: Fields): String {
    val word = entry.text("engine")
    require(ENGINE_NAME.matches(word)) { "${entry.place}engine must be a name of lower-case letters and digits, not ${repr(word).take(40)}" }
    return word
}

private fun tensorSpecs(entry: Fields, key: String): List<TensorSpec> {
    val found = entry.list(key)
    require(found.size in 1..MAX_TENSORS) { "${entry.place}$key must have 1 to $MAX_TENSORS entries, not ${found.size}" }
    return found.mapIndexed { number, one -> tensorSpec(Fields(one, "${entry.place}$key.$number.")) }
}

private fun tensorSpec(spec: Fields): TensorSpec {
    val shape = spec.each("shape", 16) { whole(it) }.map { it.coerceIn(-1, Int.MAX_VALUE.toLong()).toInt() }
    require(shape.all { it >= 1 }) { "${spec.place}shape has a size below 1" }
    val layout = if (spec.isNull("layout")) null else spec.text("layout")
    require(layout in listOf(null, "NCHW", "NHWC")) { "${spec.place}layout must be NCHW or NHWC, not ${repr(layout).take(40)}" }
    require(layout == null || shape.size == 4) { "${spec.place}layout is for 4 axes, not for shape ${tuple(shape)}" }
    val dynamic = if (spec.has("dynamic")) spec.each("dynamic", 16) { whole(it) } else listOf()
    require(dynamic.all { it in shape.indices }) { "${spec.place}dynamic names axes that shape ${tuple(shape)} has not: ${tuple(dynamic.map { it.toInt() }).take(40)}" }
    val dtype = spec.choice("dtype", DTYPES)
    val (scale, zeroPoint) = quantization(spec, dtype) ?: (null to null)
    return TensorSpec(
        shape = shape,
        dtype = dtype,
        layout = layout,
        scale = scale,
        zeroPoint = zeroPoint,
        name = if (spec.isNull("name")) "" else spec.text("name"),
        dynamic = dynamic.map { it.toInt() },
        bounded = !spec.isNull("bounded") && spec.truth("bounded"),
    )
}

/** Scale and zero point, which are there together, for integers alone, in the numbers that those have. */
private fun quantization(spec: Fields, dtype: String): Pair<Float, Int>? {
    val scale = if (spec.isNull("scale")) null else spec.real("scale")
    val zeroPoint = if (spec.isNull("zero_point")) null else spec.whole("zero_point")
    if (scale == null && zeroPoint == null) return null
    require(scale != null && zeroPoint != null) { "${spec.place}scale and zero_point must be there both, or neither" }
    val bits = requireNotNull(QUANTIZED[dtype]) { "${spec.place}scale is for ${QUANTIZED.keys.joinToString()}, not for $dtype" }
    require(scale >= LEAST_SCALE && scale < 2 * Math.pow(2.0, 127.0)) {
        "${spec.place}scale must be above 0 and a number that float32 has, not ${repr(scale)}"
    }
    val least = if (dtype == "uint8") 0L else -(1L shl (bits - 1))
    val most = least + (1L shl bits) - 1
    require(zeroPoint in least..most) { "${spec.place}zero_point must be $least to $most for $dtype, not $zeroPoint" }
    return scale.toFloat() to zeroPoint.toInt()
}

/** Refuse a manifest whose parts contradict each other: labels and outputs, processor and inputs, file and file. */
private fun checkTogether(manifest: Manifest) {
    val task =
        try {
            taskOf(manifest.task, manifest.labels, manifest.taskSettings, manifest.scores)
        } catch (error: InputError) {
            throw IllegalArgumentException("task_settings: ${error.message}", error)
        }
    checkShares(manifest, task.about.measures.filter { it.unit == "%" }.map { it.name })
    val counts = manifest.models.mapValues { it.value.inputs.size }
    require(counts.values.toSet().size <= 1) { "its files take different numbers of inputs: ${repr(counts).take(200)}" }
    for ((name, entry) in manifest.models) {
        try {
            task.check(entry.outputs)
        } catch (error: IllegalArgumentException) {
            throw IllegalArgumentException("models.$name.outputs has ${shapes(entry.outputs)}; ${error.message}", error)
        }
        if (manifest.processor != null) checkProcessed("models.$name.inputs", entry.inputs, manifest.processor)
    }
}

/** Refuse a share of samples, such as an accuracy, that is none. */
private fun checkShares(manifest: Manifest, shares: List<String>) {
    val places =
        manifest.quality.mapKeys { "quality.${it.key}." } +
            manifest.models.map { (name, entry) -> "models.$name.quality." to entry.quality }
    for ((place, found) in places) {
        for ((name, value) in found) {
            require(name !in shares || value in 0.0..1.0) { "$place$name must be 0 to 1, not ${repr(value)}" }
        }
    }
}

/** Refuse inputs that are not what the processor makes. */
private fun checkProcessed(place: String, inputs: List<TensorSpec>, processor: Processor) {
    val spec = inputs.first()
    val (height, width, channels) = listOf(processor.height, processor.width, processor.channels)
    val made = if (spec.layout == "NHWC") listOf(1, height, width, channels) else listOf(1, channels, height, width)
    require(inputs.size == 1 && spec.accepts(made)) { "processor makes one tensor of shape ${tuple(made)}; $place has ${shapes(inputs)}" }
    val scaled = if (spec.scale != null) "with" else "without"
    require(spec.dtype == "float32" || (spec.dtype == "int8" && spec.scale != null)) {
        "processor makes float32, or int8 where the input has a scale; $place has ${spec.dtype} $scaled one"
    }
}

private fun shapes(specs: List<TensorSpec>) = specs.joinToString { tuple(it.shape) }.take(200)

private fun manifest(top: Fields, models: Map<String, ModelFile>): Manifest {
    val quality = if (top.has("quality")) top.items("quality") else listOf()
    val versions = Fields(top.map("versions"), "versions.")
    return Manifest(
        name = top.text("name"),
        task = top.text("task"),
        labels = top.each("labels", 1 shl 16) { text(it) },
        processor = if (top.isNull("processor")) null else processor(top),
        models = models,
        parameters = top.count("parameters"),
        macs = top.count("macs"),
        training = top.map("training").mapKeys { it.key as String },
        quality = quality.associate { (who, entry) -> who to entry.numbers() },
        agreement = top.share("agreement"),
        versions = versions.data.keys.associate { (it as String) to versions.text(it) },
        // Older manifests have no such field; all their models had logits.
        scores = if (top.isNull("scores") || top.text("scores").isEmpty()) LOGITS else top.choice("scores", listOf(LOGITS, PROBABILITIES)),
        taskSettings = if (top.isNull("task_settings")) mapOf() else top.map("task_settings").mapKeys { it.key as String },
    )
}

private fun processor(top: Fields): Processor =
    try {
        readProcessor(top.map("processor"))
    } catch (error: InputError) {
        throw IllegalArgumentException("processor: ${error.message}", error)
    }
