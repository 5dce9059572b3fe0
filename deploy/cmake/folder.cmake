# One library a folder, from every source in it:
#
#   spindle_folder(common/http USES common/base common/loop LIBS llhttp)
#
# USES: the folders it may include from; LIBS: what else it links. Beside the library stands a program of
# its objects with nothing but these and what they stand on, made with the default build: a call to a
# folder above, or beside, does not link. tests/lint/check_folders.py holds the includes against these
# lines to the letter; docs/folders.svg is drawn from them.
function(spindle_folder path)
  cmake_parse_arguments(arg "" "" "USES;LIBS;EXCEPT" ${ARGN})
  string(REPLACE / _ target ${path})
  list(TRANSFORM arg_USES REPLACE / _)
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/${path}/*.c)
  list(TRANSFORM arg_EXCEPT PREPEND ${CMAKE_SOURCE_DIR}/${path}/)
  list(REMOVE_ITEM sources ${arg_EXCEPT} ${CMAKE_SOURCE_DIR}/${path}/main.c)
  add_library(${target} STATIC ${sources})
  target_link_libraries(${target} PUBLIC spindle_flags ${arg_USES} ${arg_LIBS})
  if(SPINDLE_TESTS AND NOT SPINDLE_SANITIZE)
    add_executable(alone_${target} ${CMAKE_SOURCE_DIR}/deploy/cmake/alone.c $<TARGET_OBJECTS:${target}>)
    target_link_libraries(alone_${target} PRIVATE spindle_flags ${arg_USES} ${arg_LIBS})
    set_target_properties(alone_${target} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/alone)
  endif()
endfunction()
