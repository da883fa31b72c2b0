package dev.edgestill.demo

import org.junit.runners.model.FrameworkMethod
import org.robolectric.RobolectricTestRunner
import org.robolectric.internal.bytecode.InstrumentationConfiguration

/** Robolectric, with native libraries left to the JVM's own class loader: each can be loaded once. */
class Runner(test: Class<*>) : RobolectricTestRunner(test) {
    override fun createClassLoaderConfig(method: FrameworkMethod): InstrumentationConfiguration =
        InstrumentationConfiguration.Builder(super.createClassLoaderConfig(method))
            .doNotAcquirePackage("org.bytedeco.")
            .doNotAcquirePackage("org.pytorch.")
            .doNotAcquirePackage("com.facebook.")
            .doNotAcquireClass("dev.edgestill.demo.Engines")
            .build()
}
