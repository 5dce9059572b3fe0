# What we build on. Debian packages but for wolfSSL, which deploy/deps builds with its assembly.
find_package(PkgConfig REQUIRED)
find_package(Threads REQUIRED)
foreach(package libuv gpr grpc libprotobuf-c yaml-0.1 jansson libnghttp2 libseccomp libcares)
  string(MAKE_C_IDENTIFIER ${package} name)
  pkg_check_modules(${name} REQUIRED IMPORTED_TARGET ${package})
endforeach()
if(SPINDLE_TESTS)
  pkg_check_modules(check REQUIRED IMPORTED_TARGET check)
endif()

if(NOT EXISTS "${SPINDLE_WOLFSSL}/lib/libwolfssl.a")
  message(FATAL_ERROR "no wolfSSL in ${SPINDLE_WOLFSSL}: run deploy/deps first")
endif()
add_library(wolfssl STATIC IMPORTED)
set_target_properties(wolfssl PROPERTIES
  IMPORTED_LOCATION "${SPINDLE_WOLFSSL}/lib/libwolfssl.a"
  INTERFACE_INCLUDE_DIRECTORIES "${SPINDLE_WOLFSSL}/include"
  INTERFACE_COMPILE_DEFINITIONS WOLFSSL_USE_OPTIONS_H
  INTERFACE_LINK_LIBRARIES "common_crypto;m") # it calls common/crypto/hedge.c

# llhttp comes as C sources in Debian's node-llhttp.
add_library(llhttp STATIC /usr/share/llhttp/api.c /usr/share/llhttp/http.c /usr/share/llhttp/llhttp.c)
target_include_directories(llhttp SYSTEM PUBLIC /usr/share/include/llhttp)
target_compile_options(llhttp PRIVATE -w -O2)
