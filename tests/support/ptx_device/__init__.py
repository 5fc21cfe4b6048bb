"""A device made of the CPU: the PTX of kernels, run without a GPU, and checked.

numba-cuda compiles a kernel as for a GPU, to the PTX that its assembler would take, with libdevice inlined and
multiplications contracted. `syntax` reads that text, `rules` and `translate` turn it into C, which `build`
compiles with gcc. `threads.h` runs each CUDA thread on a stack of its own; `checks.h` checks every access to memory.
`driver` stands in for NVIDIA's driver, so that numba-cuda, cuda.core and our code above run as they are.

=========================================  =====================================================================
what is found                              by
=========================================  =====================================================================
access out of bounds or misaligned         the arrays that the launch was given; shared memory's size
read of what nothing stored                a mark for each byte of memory; stamps of shared memory
race within a block, or between blocks     stamps of the last write and read of each element; barriers order them
barrier that not all threads reach         threads that have ended, or wait elsewhere, once none can run
exchange with a part of a warp             the mask, and which threads arrive
launch beyond a device's limits            threads, blocks, and shared memory of at most 48 KB
=========================================  =====================================================================

It does not show the assembler's registers, time, or work that streams overlap: each call is done before it returns.
An opcode without a rule in `arithmetic` or `control` is an error that names it and the kernel.

``PYTHONPATH=tests/support/ptx_device/site:. python script.py`` runs any script there.
"""
