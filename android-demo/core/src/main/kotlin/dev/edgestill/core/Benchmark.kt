package dev.edgestill.core

import com.google.gson.GsonBuilder
import java.io.File
import java.io.IOException
import java.util.Locale

/** What a benchmark finds out of the phone it runs on. */
class Here(
    /** As `describe_machine` in Python; null if the system does not report it. */
    val machine: Map<String, Any?>,
    val residentBytes: () -> Long?,
)

/**
 * Measure the bundles in a folder, as `edgestill bench --device adb:SERIAL` asks for it.
 *
 * The bundle is in `bundle.edge` ([own] if there is none), samples are in `samples.npz` if there are any. While it runs,
 * `progress.txt` says how far it is; at the end there are `answers.npz` (of samples) and `found.json`, in the form of
 * `measurement.schema.json`, or `error.txt`.
 *
 * @param words `threads` (such as `1,all`), `rule`, `headline`, `min_calls`, `min_seconds`, `turn_seconds`.
 * @param say called with a line of progress.
 */
fun benchmark(folder: File, own: Store, factories: EngineFactories, words: Map<String, String>, here: Here, say: (String) -> Unit = {}) {
    try {
        val sent = File(folder, "bundle.edge")
        val bundle = Bundle.open(if (sent.isDirectory) FolderStore(sent) else own)
        val samples = File(folder, "samples.npz").takeIf { it.isFile }?.let { readSamples(it.readBytes()) }
        val found = measureBundle(bundle, factories, threadsOf(words["threads"] ?: "1"), ruleOf(words), here.machine, samples, here.residentBytes) { doing, share ->
            write(folder, "progress.txt", "%.3f %s\n".format(Locale.ROOT, share, doing).toByteArray())
            say("$doing ${(100 * share).toInt()} %")
        }
        if (samples != null) write(folder, "answers.npz", writeNpz(found.answers))
        write(folder, "found.json", GsonBuilder().serializeNulls().create().toJson(found.measurement).toByteArray())
    } catch (error: EdgestillError) {
        write(folder, "error.txt", (error.message ?: "").toByteArray())
    } catch (error: IOException) {
        write(folder, "error.txt", (error.message ?: "").toByteArray())
    }
}

private fun threadsOf(text: String): List<Int> =
    text.split(',').map { word ->
        val count = if (word == "all") Runtime.getRuntime().availableProcessors() else word.toIntOrNull()
        count?.takeIf { it >= 1 } ?: throw InputError("threads are numbers from 1, or all, not '$word'")
    }

private fun ruleOf(words: Map<String, String>): Rule {
    val usual = Rule()
    return Rule(
        name = words["rule"] ?: usual.name,
        headline = words["headline"] ?: usual.headline,
        minCalls = words["min_calls"]?.toIntOrNull() ?: usual.minCalls,
        minSeconds = words["min_seconds"]?.toDoubleOrNull() ?: usual.minSeconds,
        turnSeconds = words["turn_seconds"]?.toDoubleOrNull() ?: usual.turnSeconds,
    )
}

/** Whoever waits for a file sees it whole. */
private fun write(folder: File, name: String, content: ByteArray) {
    val part = File(folder, ".$name")
    part.writeBytes(content)
    part.renameTo(File(folder, name))
}
