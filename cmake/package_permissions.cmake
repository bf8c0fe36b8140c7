# SPDX-License-Identifier: MIT
# CPACK_PRE_BUILD_SCRIPTS: everyone may enter the directories that are packed, whatever umask they were made under.
# CPACK_INSTALL_DEFAULT_DIRECTORY_PERMISSIONS does not do that: the umask is taken off it.
file(GLOB_RECURSE entries LIST_DIRECTORIES true "${CPACK_TEMPORARY_DIRECTORY}/*")
foreach(entry IN LISTS entries)
  if(IS_DIRECTORY "${entry}" AND NOT IS_SYMLINK "${entry}")
    file(CHMOD "${entry}" DIRECTORY_PERMISSIONS OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ GROUP_EXECUTE WORLD_READ
      WORLD_EXECUTE)
  endif()
endforeach()
