/*
 * A clock that is ahead by as many seconds as the file $CLOCK has bytes, for the program that this is preloaded into.
 *
 * libfaketime shows the true clock to a signal handler that interrupts a wait. PostgreSQL's timeouts would never come.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <time.h>

static int (*true_clock_gettime)(clockid_t, struct timespec *);
static const char *file;

__attribute__((constructor)) static void find(void)
{
	true_clock_gettime = (int (*)(clockid_t, struct timespec *)) dlsym(RTLD_NEXT, "clock_gettime");
	/* PostgreSQL moves its environment. */
	file = strdup(getenv("CLOCK"));
}

int clock_gettime(clockid_t clock, struct timespec *now)
{
	struct stat status;
	int result = true_clock_gettime(clock, now);

	if ((clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE) && stat(file, &status) == 0)
		now->tv_sec += status.st_size;
	return result;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone)
{
	struct timespec precise;
	int result = clock_gettime(CLOCK_REALTIME, &precise);

	(void) zone;
	now->tv_sec = precise.tv_sec;
	now->tv_usec = precise.tv_nsec / 1000;
	return result;
}
