/*
 * Asks the kernel for every system call number, each in a child of its own and with arguments that make no call do
 * anything, and prints a line "NUMBER ANSWER": `ok`, the number of the error, `exit N` or `signal N`.
 * In C, because a call by its number is no safe code in Rust.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { LAST = 470, X32 = 0x40000000 };

/* Calls that need no argument to disturb the machine, or that wait for ever. */
static int left_out(long number)
{
	return number == SYS_sync || number == SYS_vhangup || number == SYS_pause;
}

static void ask(long number)
{
	int answer[2], error = 0, status = 0;
	if (pipe(answer))
		exit(1);
	pid_t child = fork();
	if (child < 0)
		exit(1);
	if (child == 0) {
		alarm(5);
		error = syscall(number, -1L, -1L, -1L, -1L, -1L, -1L) == -1 ? errno : 0;
		ssize_t written = write(answer[1], &error, sizeof error);
		_exit(written == sizeof error ? 0 : 1);
	}
	close(answer[1]);
	int told = read(answer[0], &error, sizeof error) == sizeof error;
	close(answer[0]);
	waitpid(child, &status, 0);
	if (told && error)
		printf("%ld %d\n", number, error);
	else if (told)
		printf("%ld ok\n", number);
	else if (WIFSIGNALED(status))
		printf("%ld signal %d\n", number, WTERMSIG(status));
	else
		printf("%ld exit %d\n", number, WEXITSTATUS(status));
}

int main(void)
{
	setvbuf(stdout, NULL, _IOLBF, 0);
	for (long number = 0; number <= LAST; number++)
		if (!left_out(number))
			ask(number);
	ask(X32 + SYS_getpid);
	return 0;
}
