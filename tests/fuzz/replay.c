/* Without libFuzzer: runs the target once on every file of the folders named, and on every prefix
 * of it, so that the corpus is a regression test of every build. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define INPUT_MAX 65536

static int replay_file(const char *path)
{
    FILE *f = fopen(path, "rbe");
    uint8_t *data = malloc(INPUT_MAX);
    size_t size = f != NULL && data != NULL ? fread(data, 1, INPUT_MAX, f) : 0;
    int bad = f == NULL || data == NULL;
    size_t step = size / 512 + 1;
    for (size_t n = 0; n < size; n += step) {
        /* A block of its own, so that a read past the end is seen. */
        uint8_t *part = malloc(n > 0 ? n : 1);
        for (size_t i = 0; part != NULL && i < n; i++)
            part[i] = data[i];
        if (part != NULL)
            LLVMFuzzerTestOneInput(part, n);
        free(part);
    }
    LLVMFuzzerTestOneInput(data, size);
    if (f != NULL)
        fclose(f);
    free(data);
    return bad;
}

int main(int argc, char **argv)
{
    int files = 0, bad = 0;
    for (int i = 1; i < argc; i++) {
        DIR *dir = opendir(argv[i]);
        for (struct dirent *d = NULL; dir != NULL && (d = readdir(dir)) != NULL;) {
            char path[4096];
            if (d->d_name[0] == '.')
                continue;
            snprintf(path, sizeof path, "%s/%s", argv[i], d->d_name);
            bad += replay_file(path);
            files++;
        }
        if (dir != NULL)
            closedir(dir);
    }
    printf("%d files\n", files);
    return files > 0 && bad == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
