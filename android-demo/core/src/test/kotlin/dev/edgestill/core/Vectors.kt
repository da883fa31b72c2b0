package dev.edgestill.core

import java.io.File

/** What the Python runtime answered; `proof/vectors.py` writes it. */
object Vectors {
    private val folder = File(checkNotNull(System.getProperty("edgestill.vectors")) { "run make test-android, which writes the vectors" })

    fun file(name: String) = File(folder, name)

    fun bytes(name: String): ByteArray = file(name).readBytes()

    fun json(name: String): Any? = readJson(file(name).reader())

    /** Images of the test split, as many bytes each as the bundle's model takes. */
    fun images(bundle: Bundle): List<ByteArray> {
        val size = bundle.manifest.processor!!.count
        val all = bytes("images.bin")
        return List(all.size / size) { all.copyOfRange(it * size, (it + 1) * size) }
    }

    /** A bundle of another format version or task; see `proof/manifests.py`. */
    fun bundle(name: String): Bundle = Bundle.open(FolderStore(file("manifests/$name.edge")))

    fun bundle(): Bundle = Bundle.open(FolderStore(file("bundle.edge")))
}

internal fun Any?.field(key: String): Any? = (this as Map<*, *>)[key]

internal fun Any?.number(): Double = (this as JsonNumber).toDouble()

internal fun Any?.whole(): Int = (this as JsonNumber).toLong()!!.toInt()

/** A double by its bits, in hexadecimal: JSON holds neither NaN nor all of its digits. */
internal fun Any?.double(): Double = Double.fromBits((this as String).toULong(16).toLong())

internal fun Any?.list(): List<Any?> = this as List<*>
