// Init of a test guest: loads the modules, mounts the share, tells on the console what it finds there.
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

static void tell(const char *what, int result) {
    printf("%s: %s\n", what, result < 0 ? strerror(errno) : "ok");
    fflush(stdout);
}

int main(void) {
    mount("dev", "/dev", "devtmpfs", 0, "");
    struct dirent **names;
    int count = scandir("/modules", &names, NULL, alphasort);
    for (int i = 0; i < count; i++) {
        char path[512];
        snprintf(path, sizeof path, "/modules/%s", names[i]->d_name);
        int fd = open(path, O_RDONLY);
        if (fd >= 0 && names[i]->d_name[0] != '.') syscall(SYS_finit_module, fd, "", 0);
        close(fd);
    }
    mkdir("/share", 0755);
    tell("mount the share", mount("cofferdam", "/share", "virtiofs", 0, ""));
    tell("write to the share", mkdir("/share/new", 0755));
    tell("replace a container", rename("/share/c1", "/share/c2"));
    tell("write to the root file system", open("/share/c1/rootfs/new", O_CREAT | O_WRONLY, 0644));
    tell("link out of the root file system", symlink("/etc", "/share/c1/rootfs/out"));
    tell("make a device", mknod("/share/c1/rootfs/null", S_IFCHR | 0666, makedev(1, 3)));
    tell("write to a read-only volume", open("/share/c1/m0/new", O_CREAT | O_WRONLY, 0644));
    tell("change the owner", chown("/share/c1/rootfs/new", 1234, 1234));
    puts("UP");
    fflush(stdout);
    while (access("/share/c2/m0/later", F_OK)) usleep(20000);
    char text[64] = "";
    int fd = open("/share/c2/m0/later", O_RDONLY);
    tell("read a volume that came later", read(fd, text, sizeof text - 1));
    printf("it says %s\n", text);
    puts("DONE");
    fflush(stdout);
    for (;;) pause();
}
