package dev.edgestill.demo

import dev.edgestill.core.FolderStore
import dev.edgestill.core.Here
import dev.edgestill.core.benchmark
import dev.edgestill.engines.ExecuTorchEngine
import dev.edgestill.engines.LiteRtEngine
import java.io.File
import kotlin.system.exitProcess

/**
 * What BenchmarkActivity does, on a desktop, with the same engines: `FILES BUNDLE --es folder NAME --es threads 1 …`, the
 * app's external files, its own bundle, and what `am start` was given. `proof/phone.py` puts it in a phone's place.
 */
fun main(words: Array<String>) {
    Engines.load()
    val given = words.drop(2).chunked(3).associate { (_, key, value) -> key to value }
    val folder = File(words[0], given.getValue("folder")).apply { mkdirs() }
    val factories = mapOf("litert" to LiteRtEngine, "executorch" to ExecuTorchEngine.Factory(File(folder, "scratch")))
    val machine = mapOf(
        "cpu" to "a desktop in a phone's place", "features" to listOf<String>(), "architecture" to "x86_64", "governor" to null,
        "cores" to Runtime.getRuntime().availableProcessors(), "memory_bytes" to null, "os" to "none", "kernel" to null,
        "python" to "none", "cuda" to null, "packages" to mapOf<String, String>(),
    )
    benchmark(folder, FolderStore(File(words[1])), factories, given, Here(machine) { null })
    exitProcess(0) // the engines leave threads behind
}
