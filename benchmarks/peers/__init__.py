"""The systems that Ringback is compared with, each as its own documentation recommends."""
