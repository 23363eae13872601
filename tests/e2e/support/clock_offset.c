/*
 * Loaded into a program whose clock is to be wrong by OFFSET seconds, which no test could do to the
 * machine's own. Without OFFSET, the seconds are a number in OFFSET_FILE, which may change at any time.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#ifndef OFFSET
/* Mapped when the program is loaded: later it may not be allowed to open files. */
static const volatile int64_t *offset;
#define OFFSET (offset ? *offset : 0)

__attribute__((constructor)) static void map_offset(void)
{
	int file = open(OFFSET_FILE, O_RDONLY | O_CLOEXEC);
	void *mapped = MAP_FAILED;

	if (file >= 0)
		mapped = mmap(NULL, sizeof(*offset), PROT_READ, MAP_SHARED, file, 0);
	if (mapped != MAP_FAILED)
		offset = mapped;
	close(file);
}
#endif

typedef int clock_function(clockid_t, struct timespec *);

static clock_function *next_clock_gettime;

__attribute__((constructor)) static void find_next(void)
{
	next_clock_gettime = (clock_function *)dlsym(RTLD_NEXT, "clock_gettime");
}

int clock_gettime(clockid_t clock, struct timespec *now)
{
	int failed = next_clock_gettime ? next_clock_gettime(clock, now)
					: syscall(SYS_clock_gettime, clock, now);

	if (!failed && clock == CLOCK_REALTIME)
		now->tv_sec += OFFSET;
	return failed;
}

time_t time(time_t *seconds)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	if (seconds)
		*seconds = now.tv_sec;
	return now.tv_sec;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone)
{
	struct timespec precise;
	int failed = clock_gettime(CLOCK_REALTIME, &precise);

	(void)zone;
	now->tv_sec = precise.tv_sec;
	now->tv_usec = precise.tv_nsec / 1000;
	return failed;
}
