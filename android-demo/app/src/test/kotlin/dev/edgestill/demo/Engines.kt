package dev.edgestill.demo

import com.facebook.soloader.nativeloader.NativeLoader
import com.facebook.soloader.nativeloader.SystemDelegate

/** ExecuTorch's Android library of x86-64 in this JVM: see proof/bionic. Once is enough. */
object Engines {
    init {
        NativeLoader.init(SystemDelegate())
        System.loadLibrary("host")
    }

    fun load() = Unit
}
