package dev.edgestill.core

import java.io.InputStreamReader
import java.nio.charset.CodingErrorAction

// The same rules as `edgestill_runtime/manifest.py`: every field is looked at before it is used, and what is not
// understood is refused with its place.

const val MAX_MANIFEST_BYTES = 1 shl 20
private const val MAX_FILES = 64
private const val MAX_FILE_BYTES = 1L shl 32
private const val MAX_TENSORS = 64
private val DTYPES = listOf("float32", "float64", "float16", "int8", "uint8", "int16", "int32", "int64", "bool")
private val ENGINES = listOf("executorch", "litert")
private val PRECISIONS = listOf("int8", "mixed", "fp32")
private val FILE_NAME = Regex("[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
private val SHA256 = Regex("[0-9a-f]{64}")

/**
 * Read `manifest.json`: the manifest, and what every other file of the bundle must be.
 *
 * @throws IllegalArgumentException it is too large, no JSON, of another format version, or a field is not as it must be.
 */
fun parseManifest(content: ByteArray): Pair<Manifest, Map<String, FileEntry>> {
    require(content.size <= MAX_MANIFEST_BYTES) { "it is larger than $MAX_MANIFEST_BYTES bytes" }
    val decoder = Charsets.UTF_8.newDecoder().onMalformedInput(CodingErrorAction.REPORT)
    val data = readJson(InputStreamReader(content.inputStream(), decoder))
    require(data is Map<*, *>) { "it is no JSON object" }
    val version = (data["format_version"] as? JsonNumber)?.toLong()
    require(version in READ_VERSIONS) {
        "it has format version ${data["format_version"]}; this app reads ${READ_VERSIONS.joinToString(" and ")}. " +
            "Update the app, or make the bundle again"
    }
    val top = Fields(if (version == 2L) data + ("processor" to data["preprocessing"]) else data, "")
    val files = top.items("files").associate { (name, entry) -> name to fileEntry(entry) }
    val models = top.items("models").associate { (name, entry) -> name to modelFile(entry) }
    for (name in files.keys) {
        require(FILE_NAME.matches(name) && name != MANIFEST && name != SIGNATURE) {
            "it names a file that no bundle holds: '${name.take(120)}'"
        }
    }
    val unlisted = models.keys - files.keys
    require(unlisted.isEmpty()) { "it lists no hash for ${unlisted.sorted().joinToString()}" }
    return manifest(top, models) to files
}

/** A JSON object that knows where it stands and hands out its fields only as what they must be. */
private class Fields(data: Any?, val place: String) {
    val data: Map<*, *> = data as? Map<*, *> ?: throw IllegalArgumentException("${place.ifEmpty { "it" }} must be an object")

    private fun bad(key: String, what: String): Nothing {
        if (key !in data) throw IllegalArgumentException("$place$key is missing")
        throw IllegalArgumentException("$place$key must be $what, not ${data[key].toString().take(40)}")
    }

    fun has(key: String) = key in data

    fun isNull(key: String) = data[key] == null

    fun text(key: String): String = data[key] as? String ?: bad(key, "text")

    fun list(key: String): List<*> = data[key] as? List<*> ?: bad(key, "a list")

    fun map(key: String): Map<*, *> = data[key] as? Map<*, *> ?: bad(key, "an object")

    fun whole(key: String): Long = (data[key] as? JsonNumber)?.toLong() ?: bad(key, "a whole number")

    fun real(key: String): Double =
        (data[key] as? JsonNumber)?.toDouble()?.takeIf { it.isFinite() } ?: bad(key, "a finite number")

    fun count(key: String, least: Long = 0, most: Long = 1L shl 60): Long {
        val number = whole(key)
        require(number in least..most) { "$place$key must be $least to $most, not $number" }
        return number
    }

    fun share(key: String): Double? {
        val number = if (isNull(key)) return null else real(key)
        require(number in 0.0..1.0) { "$place$key must be 0 to 1, not $number" }
        return number
    }

    fun choice(key: String, valid: List<String>): String {
        val word = text(key)
        require(word in valid) { "$place$key must be one of ${valid.joinToString()}, not '${word.take(40)}'" }
        return word
    }

    fun <T> each(key: String, most: Int, read: Fields.(String) -> T): List<T> {
        val values = list(key)
        require(values.size <= most) { "$place$key has more than $most entries" }
        return values.map { Fields(mapOf(key to it), place).read(key) }
    }

    fun items(key: String): List<Pair<String, Fields>> {
        val found = map(key)
        require(found.size <= MAX_FILES) { "$place$key has more than $MAX_FILES entries" }
        return found.map { (name, entry) -> (name as String) to Fields(entry, "$place$key.${name.take(60)}.") }
    }
}

private fun fileEntry(entry: Fields): FileEntry {
    val digest = entry.text("sha256")
    require(SHA256.matches(digest)) { "${entry.place}sha256 must be 64 lower-case hex digits" }
    return FileEntry(digest, entry.count("bytes", most = MAX_FILE_BYTES))
}

private fun modelFile(entry: Fields) =
    ModelFile(
        engine = entry.choice("engine", ENGINES),
        precision = entry.choice("precision", PRECISIONS),
        inputs = tensorSpecs(entry, "inputs"),
        outputs = tensorSpecs(entry, "outputs"),
        exporter = entry.text("exporter"),
        accuracy = entry.share("accuracy"),
        keptFloat = if (entry.has("kept_float")) entry.each("kept_float", 1 shl 12) { text(it) } else listOf(),
    )

private fun tensorSpecs(entry: Fields, key: String): List<TensorSpec> {
    val found = entry.list(key)
    require(found.size in 1..MAX_TENSORS) { "${entry.place}$key must have 1 to $MAX_TENSORS entries, not ${found.size}" }
    return found.mapIndexed { number, one -> tensorSpec(Fields(one, "${entry.place}$key.$number.")) }
}

private fun tensorSpec(spec: Fields): TensorSpec {
    val shape = spec.each("shape", 16) { whole(it) }
    require(shape.all { it >= 1 }) { "${spec.place}shape has a size below 1" }
    val layout = if (spec.isNull("layout")) null else spec.text("layout")
    require(layout in listOf(null, "NCHW", "NHWC")) { "${spec.place}layout must be NCHW or NHWC, not '$layout'" }
    val scale = if (spec.isNull("scale")) null else spec.real("scale")
    require(scale == null || scale > 0) { "${spec.place}scale must be above 0, not $scale" }
    return TensorSpec(
        shape = shape.map { Math.toIntExact(minOf(it, Int.MAX_VALUE.toLong())) },
        dtype = spec.choice("dtype", DTYPES),
        layout = layout,
        scale = scale?.toFloat(),
        zeroPoint = if (spec.isNull("zero_point")) null else spec.whole("zero_point").toInt(),
        name = if (spec.isNull("name")) "" else spec.text("name"),
        dynamic = if (spec.has("dynamic")) spec.each("dynamic", 16) { whole(it).toInt() } else listOf(),
    )
}

private fun manifest(top: Fields, models: Map<String, ModelFile>): Manifest {
    val accuracy = Fields(top.map("accuracy"), "accuracy.")
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
        accuracy = accuracy.data.keys.mapNotNull { who -> accuracy.share(who as String)?.let { who to it } }.toMap(),
        agreement = top.share("agreement"),
        versions = versions.data.keys.associate { (it as String) to versions.text(it) },
        scores = if (top.isNull("scores")) LOGITS else top.choice("scores", listOf(LOGITS, PROBABILITIES)),
    )
}

private fun processor(top: Fields): Processor =
    try {
        readProcessor(top.map("processor"))
    } catch (error: InputError) {
        throw IllegalArgumentException("processor: ${error.message}", error)
    }
