/* Memory as a kernel sees it: each access is checked for its bounds, for races, and for values that nothing stored.

Each element of an array, and each word of shared memory, has a cell: a stamp of who wrote it last and one of who
read it. Two accesses of which one writes are in order if they are of one thread, or of one block with a barrier
between; else they race. Shuffles order nothing. Atomic accesses race with those that are not. */
#include <setjmp.h>
#include <stdio.h>
#include "values.h"

typedef enum { READ, WRITE, ATOMIC } Access;
typedef struct { uint64_t write, read; } Cell;
/* An array that the kernel may access, cells for its elements of `width` bytes, and which bytes are initialised. */
typedef struct { uint64_t begin, end, width; Cell *cells; uint8_t *known; } Span;
typedef struct {
  uint32_t grid[3], block[3], dynamic_bytes, n_spans;
  uint64_t seed, *parameters;
  Span *spans;
  int32_t line; /* of the PTX, where the fault is; 0 where there is none */
  char fault[300];
} Launch;

struct Warp;
struct Block;
typedef enum { READY, AT_BARRIER, AT_EXCHANGE, DONE } State;
typedef struct Thread {
  void *stack_pointer;
  struct Block *block;
  struct Warp *warp;
  uint32_t id, x, y, z;
  State state;
  int line;
  Span *last; /* that was accessed */
} Thread;
typedef struct Block {
  Launch *launch;
  Thread *threads;
  struct Warp *warps;
  uint32_t *order, size, place[3];
  uint64_t id, epoch; /* barriers met, and 1 */
  uint8_t *shared;
  Cell *cells; /* of shared memory, 4 bytes each */
  void *scheduler;
  jmp_buf *leave;
} Block;

/* End the launch. */
static __attribute__((noinline, noreturn)) void fail(Thread *T, const char *what, int line) {
  Block *b = T->block;
  b->launch->line = line;
  snprintf(b->launch->fault, sizeof b->launch->fault, "%s, by thread (%u, %u, %u) of block (%u, %u, %u)", what, T->x,
           T->y, T->z, b->place[0], b->place[1], b->place[2]);
  longjmp(*b->leave, 1);
}

static inline uint64_t divisor(Thread *T, uint64_t v, int line) {
  if (v == 0) fail(T, "division by zero", line);
  return v;
}

/* A stamp: 32 bits of the block, 20 of the epoch, 12 of the thread. */
#define SEVERAL 4095u      /* threads of one epoch, in the place of one */
#define BY_ATOMICS 4094u
#define MANY_BLOCKS 0xffffffffull
static inline uint64_t stamp_of(Thread *T, uint32_t who) {
  return T->block->id << 32 | T->block->epoch << 12 | who;
}
/* Whether an earlier access, by its stamp, may come after one of this thread. */
static inline int is_unordered(Thread *T, uint64_t stamp) {
  if (!stamp) return 0;
  if (stamp >> 32 != T->block->id) return 1;
  return (stamp >> 12 & 0xfffff) == T->block->epoch && (stamp & 4095) != T->id + 1;
}

/* An access, and where it is to: a byte of an array, or of shared memory. */
typedef struct { Access access; const char *memory; uint64_t place; int line; } Request;

static __attribute__((noinline)) void race(Thread *T, const char *what, uint64_t stamp, Request r) {
  char text[200];
  const char *how_far = stamp >> 32 != T->block->id ? "between blocks" : "within a block";
  snprintf(text, sizeof text, "race through %s memory %s, %s, at byte %llu", r.memory, how_far, what,
           (unsigned long long)r.place);
  fail(T, text, r.line);
}

/* Check one access to a cell, and stamp the cell. */
static inline void stamp(Thread *T, Cell *cell, Request r) {
  uint64_t write = cell->write, read = cell->read;
  int is_atomic = r.access == ATOMIC && (write & 4095) == BY_ATOMICS;
  if (!is_atomic && is_unordered(T, write))
    race(T, r.access == READ ? "a read of what another wrote" : "a write over what another wrote", write, r);
  if (r.access != READ) {
    if (is_unordered(T, read)) race(T, "a write over what another read", read, r);
    cell->write = stamp_of(T, r.access == ATOMIC ? BY_ATOMICS : T->id + 1);
    return;
  }
  uint64_t mine = stamp_of(T, T->id + 1);
  if (!read || read == mine) cell->read = mine;
  else if (read >> 32 != T->block->id) cell->read = MANY_BLOCKS << 32;
  else if (read >> 12 == mine >> 12) cell->read = stamp_of(T, SEVERAL);
  else cell->read = mine;
}

/* Return the span that holds an access; the launch ends where none does. */
static __attribute__((noinline)) Span *span_of(Thread *T, uint64_t at, uint64_t size, int line) {
  Launch *l = T->block->launch;
  Span *nearest = 0;
  for (uint32_t i = 0; i < l->n_spans; i++) {
    Span *s = l->spans + i;
    if (s->begin <= at && at + size <= s->end) return T->last = s;
    if (s->begin <= at && (!nearest || nearest->begin < s->begin)) nearest = s;
  }
  char text[120] = "access out of bounds, below all arrays";
  if (nearest)
    snprintf(text, sizeof text, "access out of bounds, at byte %llu of an array of %llu",
             (unsigned long long)(at - nearest->begin), (unsigned long long)(nearest->end - nearest->begin));
  fail(T, text, line);
}

/* Return where to access an array. */
static __attribute__((noinline)) void *global_memory(Thread *T, uint64_t at, uint64_t size, Access access, int line) {
  Span *s = T->last;
  if (!s || at < s->begin || at + size > s->end) s = span_of(T, at, size, line);
  if (at % size) fail(T, "misaligned access to an array", line);
  uint64_t place = at - s->begin, last = (place + size - 1) / s->width;
  Request r = {access, "global", place, line};
  for (uint64_t i = place / s->width; i <= last; i++) stamp(T, s->cells + i, r);
  if (access == WRITE) memset(s->known + place, 1, size);
  else if (!(s->known[place] & s->known[place + size - 1])) fail(T, "read of an array where nothing was stored", line);
  return (void *)at;
}

/* Return where to access shared memory. */
static __attribute__((noinline)) void *shared_memory(Thread *T, uint64_t at, uint64_t size, Access access, int line) {
  Block *b = T->block;
  if (at + size > SHARED_BYTES + b->launch->dynamic_bytes) fail(T, "access to shared memory out of bounds", line);
  if (at % size) fail(T, "misaligned access to shared memory", line);
  if (size < 4) fail(T, "access to less than a word of shared memory, which is not checked for races", line);
  Request r = {access, "shared", at, line};
  for (uint64_t i = at / 4; i < (at + size) / 4; i++) {
    if (access == READ && !b->cells[i].write) fail(T, "read of shared memory where nothing was stored", line);
    stamp(T, b->cells + i, r);
  }
  return b->shared + at;
}

static int64_t atomic_min(Thread *T, uint64_t at, int64_t value, int line) {
  int64_t *place = global_memory(T, at, 8, ATOMIC, line), before = *place;
  if (value < before) *place = value;
  return before;
}
