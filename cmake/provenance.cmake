# SPDX-License-Identifier: Apache-2.0
# Runs at every build: writes OUTPUT from INPUT with the state of the repository, and only if that changed.
set(GIT_HASH "unknown")
set(GIT_DIRTY "false")
find_program(git_program git)
if(git_program)
  execute_process(COMMAND "${git_program}" rev-parse HEAD WORKING_DIRECTORY "${SOURCE_DIR}"
    OUTPUT_VARIABLE hash OUTPUT_STRIP_TRAILING_WHITESPACE RESULT_VARIABLE result ERROR_QUIET)
  if(result EQUAL 0)
    set(GIT_HASH "${hash}")
    execute_process(COMMAND "${git_program}" --no-optional-locks status --porcelain --untracked-files=no WORKING_DIRECTORY "${SOURCE_DIR}"
      OUTPUT_VARIABLE changes OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
    if(changes)
      set(GIT_DIRTY "true")
    endif()
  endif()
endif()
configure_file("${INPUT}" "${OUTPUT}" @ONLY)
