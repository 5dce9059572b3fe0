# One place for how our own code is compiled.
add_library(spindle_flags INTERFACE)
target_include_directories(spindle_flags INTERFACE ${CMAKE_SOURCE_DIR})
target_compile_definitions(spindle_flags INTERFACE _GNU_SOURCE SPINDLE_VERSION="${PROJECT_VERSION}")
target_compile_options(spindle_flags INTERFACE
  -Wall -Wextra -Wshadow -Wconversion -Wno-sign-conversion -Wvla -Wstrict-prototypes
  -Wmissing-prototypes -Wpointer-arith -Wundef -Werror
  -fno-strict-overflow -fstack-protector-strong -fno-omit-frame-pointer)
if(CMAKE_BUILD_TYPE STREQUAL "Release" OR CMAKE_BUILD_TYPE STREQUAL "RelWithDebInfo")
  target_compile_definitions(spindle_flags INTERFACE _FORTIFY_SOURCE=2)
endif()
if(SPINDLE_SANITIZE)
  target_compile_options(spindle_flags INTERFACE -fsanitize=${SPINDLE_SANITIZE} -fno-sanitize-recover=all)
  target_link_options(spindle_flags INTERFACE -fsanitize=${SPINDLE_SANITIZE})
endif()
if(SPINDLE_FUZZ)
  target_compile_options(spindle_flags INTERFACE -fsanitize=fuzzer-no-link)
endif()
