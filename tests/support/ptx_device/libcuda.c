/* A library in the place of NVIDIA's: each function of it is a door to one of Python's, until Python ends. */
#define DOORS 1024

static void *(*resolve)(const char *);
void *functions[DOORS];
int is_closed; /* when destructors of other libraries still call */

/* Door i, of 16 bytes, goes to functions[i] with the arguments as they are. */
__asm__(".text; .balign 16; doors: .set i, 0; .rept 1024; .balign 16; mov $i, %eax; jmp through; .set i, i + 1; .endr;"
        "through: mov is_closed@GOTPCREL(%rip), %r11; cmpl $0, (%r11); jne done;"
        "mov functions@GOTPCREL(%rip), %r11; jmp *(%r11, %rax, 8);"
        "done: xor %eax, %eax; ret");
extern char doors[];

void use(void *(*function)(const char *)) { resolve = function; }
void close_doors(void) { is_closed = 1; }
void *door(int i, void *function) {
  functions[i] = function;
  return doors + 16 * i;
}
int cuGetProcAddress_v2(const char *name, void **found, int version, unsigned long long flags, int *status) {
  *found = resolve(name);
  if (status) *status = 0;
  return 0;
}
