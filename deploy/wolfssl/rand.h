/* Given to every file of wolfSSL with -include (deploy/deps): wolfSSL is built to take all of its
 * random bytes from spindle_rand_block (CUSTOM_RAND_GENERATE_BLOCK, common/crypto/hedge.c) but
 * declares no prototype for the function it is told to call. Its own generator would seed and
 * health-test itself anew for each TLS session: 60 of the 223 us that a handshake costs. The guard
 * is for wolfSSL's assembly files, which get the same -include. */
#ifndef __ASSEMBLER__
int spindle_rand_block(unsigned char *out, unsigned int len);
#endif
