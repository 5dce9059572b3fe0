/* The program of a folder that is linked with what it may use alone (folder.cmake): never run. */
int main(void)
{
    return 0;
}
