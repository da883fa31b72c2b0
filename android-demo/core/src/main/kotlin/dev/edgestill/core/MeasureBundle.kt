package dev.edgestill.core

import dev.edgestill.core.tasks.Task
import java.nio.ByteBuffer

private const val SCHEMA_VERSION = 2
private const val COLD_STARTS = 3
private const val DRIFT = 0.03
private const val NO_PROFILE = "the engines' Android libraries tell no times of operators"
private const val COLD_START_HERE = "cold starts are from the opening of a file to its first answer, in an app that runs already"

/** Test images, pixels (uint8, height × width × channels) each, and what is right of them. `digest`: `sha256:…` of their file. */
class Samples(val images: List<ByteArray>, val targets: Targets, val digest: String)

/** What was measured: JSON as `edgestill_benchmarks` describes it (`measurement.schema.json`), and outputs (N, …) by file. */
class Measured(val measurement: Map<String, Any?>, val answers: Map<String, Tensor>)

/**
 * Measure every file of a bundle in its engine: the same plain data as `python -m edgestill_benchmarks measure` writes.
 *
 * @param threads numbers of threads, each measured in turn.
 * @param machine what the device is; see `describe_machine` in Python.
 * @param residentBytes memory of this process now; null if the system does not report it.
 * @param onProgress what is being done, and the share of that, 0–1.
 */
fun measureBundle(
    bundle: Bundle,
    factories: EngineFactories,
    threads: List<Int>,
    rule: Rule,
    machine: Map<String, Any?>,
    samples: Samples? = null,
    residentBytes: () -> Long? = { null },
    onProgress: (String, Double) -> Unit = { _, _ -> },
): Measured {
    bundle.verify()
    val models = bundle.manifest.models.filterValues { it.engine in factories }
    val open = { name: String, count: Int -> Model(bundle, name, factories.getValue(models.getValue(name).engine), count) }
    val image = samples?.images?.firstOrNull() ?: blank(bundle)
    val cold = models.keys.associateWith { name -> coldStart(residentBytes) { open(name, 1) to image } }
    val rows = threads.distinct().sorted().flatMap { count ->
        val doing = "latency, $count thread${if (count == 1) "" else "s"}"
        latencies(models.keys, count, rule, image, open) { onProgress(doing, it) }
    }
    val answers = if (samples == null) mapOf() else answers(models.keys, samples, open) { onProgress("quality", it) }
    val files = models.map { (name, model) ->
        mapOf(
            "file" to name,
            "engine" to model.engine,
            "precision" to model.precision,
            "bytes" to bundle.size(name),
            "threads" to rows.filter { it.file == name }.map { it.json() },
            "cold_start_ms" to mapOf("p50" to cold.getValue(name).first, "runs" to COLD_STARTS),
            "memory" to cold.getValue(name).second,
            "profile" to mapOf("call_us" to null, "runs" to 0, "operators" to listOf<Any>(), "why_not" to NO_PROFILE),
            "quality" to samples?.let { quality(bundle.manifest.task(), answers.getValue(name), it.targets) },
        )
    }
    return Measured(
        mapOf(
            "schema_version" to SCHEMA_VERSION,
            "bundle" to mapOf("name" to bundle.manifest.name, "digest" to bundle.digest),
            "machine" to machine,
            "rule" to rule.json(),
            "files" to files,
            "samples" to samples?.let { mapOf("digest" to it.digest) },
            "energy_from" to null,
            "sensors" to mapOf("before" to mapOf<String, Any?>(), "after" to mapOf<String, Any?>()),
            "warnings" to listOf(COLD_START_HERE) + rows.flatMap { it.warnings() },
        ),
        answers,
    )
}

/**
 * Samples of an `.npz` with `images`, uint8 (N, H, W, C), and `targets`, (N, …) of any of [TARGETS]; an edgestill of before
 * there were tasks calls these `labels`.
 */
fun readSamples(content: ByteArray): Samples {
    val arrays = readNpz(content)
    val images = arrays["images"]?.takeIf { it.descr == "|u1" && it.shape.size == 4 }
    val targets = arrays["targets"] ?: arrays["labels"]
    val read = TARGETS[targets?.descr]
    if (images == null || targets == null || read == null || targets.shape.firstOrNull() != images.shape[0]) {
        throw InputError("samples are images, uint8 (N, H, W, C), and as many targets, ${TARGETS.keys.joinToString()} (N, …)")
    }
    val size = images.shape.drop(1).reduce(Int::times)
    val pixels = List(images.shape[0]) { ByteArray(size).also { image -> images.bytes.get(image) } }
    val numbers = DoubleArray(targets.shape.reduce(Int::times)) { targets.bytes.read(it) }
    return Samples(pixels, Targets(targets.shape, numbers), "sha256:${sha256(content)}")
}

/** numpy's names of the types that targets have → how number after number is read. */
private val TARGETS: Map<String?, ByteBuffer.(Int) -> Double> = mapOf(
    "<i8" to { getLong(8 * it).toDouble() },
    "|u1" to { (get(it).toInt() and 0xff).toDouble() },
    "<f4" to { getFloat(4 * it).toDouble() },
    "<f8" to { getDouble(8 * it) },
)

private data class Row(val file: String, val engine: String, val threads: Int, val latency: Latency) {
    fun json() = mapOf("engine" to engine, "threads" to threads, "threads_set" to true, "latency_ms" to latency.json())

    fun warnings(): List<String> {
        val what = "$file, $threads thread${if (threads == 1) "" else "s"}"
        val scatter = latency.p90 / latency.p50
        return listOfNotNull(
            "$what: p90 is ${"%.1f".format(scatter)} × p50, so the phone was disturbed: measure again when it is idle".takeIf { scatter > 2 },
            ("$what: p50 changed by ${"%+.0f".format(100 * latency.drift)} % from the first half to the second, so it is not " +
                "known better than that: let the phone cool, and measure again").takeIf { Math.abs(latency.drift) > DRIFT },
        )
    }
}

private fun latencies(
    names: Collection<String>,
    threads: Int,
    rule: Rule,
    image: ByteArray,
    open: (String, Int) -> Model,
    onProgress: (Double) -> Unit,
): List<Row> {
    val models = names.associateWith { open(it, threads) }
    try {
        val calls = models.mapValues { (_, model) -> call(model, image) }
        return measureInTurns(calls, rule, onProgress).map { (name, times) -> Row(name, models.getValue(name).engineName, threads, times) }
    } finally {
        models.values.forEach { it.close() }
    }
}

private fun call(model: Model, image: ByteArray): () -> Unit {
    val tensor: ByteBuffer = model.tensor(image)
    return { model.run(tensor) }
}

/** Median milliseconds from opening to the first output, and memory before and after the last run. */
private fun coldStart(residentBytes: () -> Long?, open: () -> Pair<Model, ByteArray>): Pair<Double, Map<String, Long?>> {
    val times = DoubleArray(COLD_STARTS)
    var memory = mapOf<String, Long?>()
    for (run in times.indices) {
        val before = residentBytes()
        val started = System.nanoTime()
        val (model, image) = open()
        model.use {
            it.outputs(image)
            times[run] = 1000 * secondsSince(started)
            memory = mapOf("before_bytes" to before, "resident_bytes" to residentBytes(), "peak_bytes" to null)
        }
    }
    return percentile(times, 50.0) to memory
}

private fun answers(
    names: Collection<String>,
    samples: Samples,
    open: (String, Int) -> Model,
    onProgress: (Double) -> Unit,
): Map<String, Tensor> =
    names.withIndex().associate { (number, name) ->
        val rows = open(name, 1).use { model -> samples.images.map { model.outputs(it).single() } }
        onProgress((number + 1.0) / names.size)
        name to Tensor.of(rows)
    }

/** By the task's measures; null of a task without any. NaN and infinity are no numbers of JSON, and are left out. */
private fun quality(task: Task, outputs: Tensor, targets: Targets): Map<String, Double>? =
    if (task.about.measures.isEmpty()) null else task.quality(listOf(outputs), targets).filterValues { it.isFinite() }.ifEmpty { null }

private fun blank(bundle: Bundle): ByteArray {
    val processor = bundle.manifest.processor ?: throw InputError("${bundle.manifest.name} takes no images and no recordings")
    return ByteArray(processor.count)
}

private fun Latency.json() =
    mapOf(
        "p50" to p50, "p90" to p90, "p99" to p99, "mean" to mean, "min" to min,
        "first" to first, "calls" to calls, "drift" to drift, "energy_mj" to null,
    )

private fun Rule.json() =
    mapOf(
        "name" to name, "headline" to headline, "min_calls" to minCalls,
        "min_seconds" to minSeconds, "turn_seconds" to turnSeconds,
    )
