/* The threads of a block, each on a stack of its own: they run one at a time, until each waits for others. */
#include <stdlib.h>
#include <sys/mman.h>
#include "checks.h"

#define STACK (256 * 1024)
#define WHOLE_WARP 0xffffffffu
typedef struct Warp { uint32_t arrived, size; int turn, line, has_ended; uint64_t values[2][32]; } Warp;

/* Save the registers of the caller and its stack, and go on where another stack was left. */
static __attribute__((naked, noinline)) void switch_stacks(void **save, void *to) {
  __asm__("push %rbp; push %rbx; push %r12; push %r13; push %r14; push %r15; mov %rsp, (%rdi);"
          "mov %rsi, %rsp; pop %r15; pop %r14; pop %r13; pop %r12; pop %rbx; pop %rbp; ret");
}

static void wait_in(Thread *T, State state, int line) {
  T->state = state, T->line = line;
  switch_stacks(&T->stack_pointer, T->block->scheduler);
}

static void barrier(Thread *T, int line) { wait_in(T, AT_BARRIER, line); }

/* Return the set of values that a warp exchanges, once all of its threads are there. */
static uint64_t *exchange(Thread *T, uint64_t value, uint32_t mask, int line) {
  Warp *w = T->warp;
  uint64_t *values = w->values[w->turn];
  if (mask != WHOLE_WARP) fail(T, "exchange within a part of a warp", line);
  if (w->size < 32 || w->has_ended) fail(T, "exchange with threads that are not there, or have ended", line);
  if (w->arrived && w->line != line) fail(T, "threads of a warp exchange at different places", line);
  w->line = line;
  values[T->id % 32] = value;
  if (++w->arrived < 32) {
    wait_in(T, AT_EXCHANGE, line);
    return values;
  }
  w->arrived = 0;
  w->turn = !w->turn; /* a set is written to again once all threads have read it, and met again */
  for (uint32_t i = T->id / 32 * 32, end = i + 32; i < end; i++) T->block->threads[i].state = READY;
  return values;
}

static uint32_t butterfly(Thread *T, uint32_t value, uint32_t distance, uint32_t clamp, uint32_t mask, int line) {
  if (clamp != 31) fail(T, "exchange within a part of a warp", line);
  return (uint32_t)exchange(T, value, mask, line)[(T->id % 32) ^ distance];
}

static uint32_t ballot(Thread *T, int is_true, uint32_t mask, int line) {
  uint64_t *values = exchange(T, is_true, mask, line);
  uint32_t found = 0;
  for (int i = 0; i < 32; i++) found |= (uint32_t)values[i] << i;
  return found;
}

static Thread *starting;
static void (*kernel_)(Thread *);

/* The first function on a thread's stack. */
static void begin(void) {
  Thread *T = starting;
  kernel_(T);
  T->warp->has_ended = 1;
  wait_in(T, DONE, 0);
  __builtin_unreachable();
}

/* End the launch where some threads wait for others that wait elsewhere, or have ended. */
static void check_barrier(Block *b) {
  Thread *first = 0;
  for (uint32_t i = 0; i < b->size; i++) {
    Thread *t = b->threads + i;
    if (!first && t->state == AT_BARRIER) first = t;
    if (t->state == AT_EXCHANGE) fail(t, "deadlock: other threads wait elsewhere, or have ended", t->line);
  }
  for (uint32_t i = 0; i < b->size; i++) {
    Thread *t = b->threads + i;
    if (t->state == DONE) fail(first, "divergent barrier: other threads have ended", first->line);
    if (t->line != first->line) fail(first, "divergent barrier: other threads wait at another", first->line);
  }
}

/* Run the threads of a block in rounds, each until it waits. */
static void run_block(Block *b) {
  for (;;) {
    uint32_t ran = 0, ended = 0;
    for (uint32_t i = 0; i < b->size; i++) {
      Thread *T = b->threads + b->order[i];
      if (T->state == READY) starting = T, ran++, switch_stacks(&b->scheduler, T->stack_pointer);
      ended += T->state == DONE;
    }
    if (ended == b->size) return;
    if (ran) continue;
    check_barrier(b);
    if (++b->epoch >> 20) fail(b->threads, "more barriers than can be counted", b->threads->line);
    for (uint32_t i = 0; i < b->size; i++) b->threads[i].state = READY;
  }
}

static void shuffle(uint32_t *order, uint64_t count, uint64_t *seed) {
  for (uint64_t i = 0; i < count; i++) order[i] = i;
  for (uint64_t i = count - 1; *seed && i > 0 && i < count; i--) {
    *seed = *seed * 6364136223846793005ull + 1442695040888963407ull;
    uint64_t j = (*seed >> 33) % (i + 1);
    uint32_t other = order[j];
    order[j] = order[i], order[i] = other;
  }
}

static void prepare_block(Block *b, char *stacks, size_t shared_bytes) {
  memset(b->warps, 0, sizeof(Warp) * ((b->size + 31) / 32));
  memset(b->cells, 0, sizeof(Cell) * (shared_bytes / 4));
  memset(b->shared, 0xcb, shared_bytes);
  b->epoch = 1;
  for (uint32_t i = 0; i < b->size; i++) {
    uint32_t nx = b->launch->block[0], ny = b->launch->block[1];
    void **top = (void **)(stacks + (size_t)(i + 1) * STACK) - 8;
    top[6] = (void *)begin; /* below it six registers, and above no address to return to */
    b->threads[i] = (Thread){.stack_pointer = top, .block = b, .warp = b->warps + i / 32, .id = i, .x = i % nx,
                             .y = i / nx % ny, .z = i / nx / ny};
    b->warps[i / 32].size++;
  }
}

/* Run all blocks, one after the other; a seed other than 0 shuffles blocks and threads. */
static void run(Launch *l, void (*kernel)(Thread *)) {
  uint64_t count = (uint64_t)l->grid[0] * l->grid[1] * l->grid[2], seed = l->seed;
  size_t shared_bytes = SHARED_BYTES + l->dynamic_bytes + 16;
  Block b = {.launch = l, .size = l->block[0] * l->block[1] * l->block[2]};
  size_t stacks_bytes = (size_t)b.size * STACK;
  char *stacks = mmap(0, stacks_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  uint32_t *blocks = malloc(sizeof(uint32_t) * count);
  jmp_buf leave;
  b.threads = calloc(b.size, sizeof(Thread)), b.warps = calloc((b.size + 31) / 32, sizeof(Warp));
  b.order = calloc(b.size, sizeof(uint32_t)), b.cells = calloc(shared_bytes / 4, sizeof(Cell));
  b.shared = aligned_alloc(16, (shared_bytes + 15) / 16 * 16);
  b.leave = &leave;
  kernel_ = kernel;
  shuffle(blocks, count, &seed);
  if (!setjmp(leave))
    for (uint64_t k = 0; k < count; k++) {
      b.id = blocks[k];
      b.place[0] = b.id % l->grid[0], b.place[1] = b.id / l->grid[0] % l->grid[1];
      b.place[2] = b.id / l->grid[0] / l->grid[1];
      shuffle(b.order, b.size, &seed);
      prepare_block(&b, stacks, shared_bytes);
      run_block(&b);
    }
  munmap(stacks, stacks_bytes);
  free(blocks), free(b.threads), free(b.warps), free(b.order), free(b.cells), free(b.shared);
}
