# SPDX-License-Identifier: MIT
# cmake --install: library, header, daemon, client, model fetcher, pkg-config and CMake package files. The components
# are Debian packages (packages.cmake): libsotto0, libsotto-dev, sotto, sottod.
include(CMakePackageConfigHelpers)

set_target_properties(libsotto PROPERTIES EXPORT_NAME sotto)
install(TARGETS libsotto EXPORT sotto
  LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT libsotto0 NAMELINK_COMPONENT libsotto-dev
  PUBLIC_HEADER DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} COMPONENT libsotto-dev)
install(TARGETS sottod RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR} COMPONENT sottod)
install(TARGETS sotto-cli RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR} COMPONENT sotto)

# The fetcher reads the catalogue beside itself, also through the link in bin/.
install(PROGRAMS models/fetch DESTINATION ${CMAKE_INSTALL_DATADIR}/sotto COMPONENT sotto)
install(FILES models/catalog.json DESTINATION ${CMAKE_INSTALL_DATADIR}/sotto COMPONENT sotto)
file(RELATIVE_PATH fetch_from_bin ${CMAKE_INSTALL_FULL_BINDIR} ${CMAKE_INSTALL_FULL_DATADIR}/sotto/fetch)
file(MAKE_DIRECTORY ${PROJECT_BINARY_DIR}/install)
file(CREATE_LINK ${fetch_from_bin} ${PROJECT_BINARY_DIR}/install/sotto-fetch SYMBOLIC)
install(FILES ${PROJECT_BINARY_DIR}/install/sotto-fetch DESTINATION ${CMAKE_INSTALL_BINDIR} COMPONENT sotto)

install(FILES LICENSE README.md CHANGELOG.md DESTINATION ${CMAKE_INSTALL_DOCDIR} COMPONENT sotto)

# For systemd: systemctl enable sottod.service, or sottod.socket. The unit names paths of the prefix that is installed
# into: a package's, or that of --prefix, is not known before.
configure_file(packaging/sottod.service.in ${PROJECT_BINARY_DIR}/install/sottod.service @ONLY)
install(CODE "set(bindir \"${CMAKE_INSTALL_BINDIR}\") # relative to the prefix
    set(docdir \"${CMAKE_INSTALL_DOCDIR}\")
    cmake_path(ABSOLUTE_PATH bindir BASE_DIRECTORY \"\${CMAKE_INSTALL_PREFIX}\" NORMALIZE OUTPUT_VARIABLE CMAKE_INSTALL_FULL_BINDIR)
    cmake_path(ABSOLUTE_PATH docdir BASE_DIRECTORY \"\${CMAKE_INSTALL_PREFIX}\" NORMALIZE OUTPUT_VARIABLE CMAKE_INSTALL_FULL_DOCDIR)
    configure_file(\"${PROJECT_SOURCE_DIR}/packaging/sottod.service.in\" \"${PROJECT_BINARY_DIR}/install/unit/sottod.service\" @ONLY)"
  COMPONENT sottod)
install(FILES ${PROJECT_BINARY_DIR}/install/unit/sottod.service packaging/sottod.socket DESTINATION lib/systemd/system
  COMPONENT sottod)
install(FILES packaging/grafana-dashboard.json DESTINATION ${CMAKE_INSTALL_DATADIR}/sotto COMPONENT sottod)

# pkg-config: a program sees sotto.h and libsotto only; what libsotto itself needs is private.
set(pc_requires "openblas, sndfile, soxr, jansson, libutf8proc, zlib, libzstd, libxxhash")
if(SOTTO_FFMPEG)
  string(APPEND pc_requires ", libavformat, libavcodec, libavutil, libswresample")
endif()
# Paths are written relative to the .pc file, so that a prefix chosen at install time (--prefix) holds.
file(RELATIVE_PATH pc_prefix ${CMAKE_INSTALL_FULL_LIBDIR}/pkgconfig ${CMAKE_INSTALL_PREFIX})
configure_file(cmake/sotto.pc.in ${PROJECT_BINARY_DIR}/install/sotto.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/install/sotto.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig COMPONENT libsotto-dev)

set(cmake_dir ${CMAKE_INSTALL_LIBDIR}/cmake/sotto)
install(EXPORT sotto FILE sotto-targets.cmake NAMESPACE sotto:: DESTINATION ${cmake_dir} COMPONENT libsotto-dev)
configure_package_config_file(cmake/sotto-config.cmake.in ${PROJECT_BINARY_DIR}/install/sotto-config.cmake
  INSTALL_DESTINATION ${cmake_dir})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/install/sotto-config-version.cmake
  COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/install/sotto-config.cmake ${PROJECT_BINARY_DIR}/install/sotto-config-version.cmake
  DESTINATION ${cmake_dir} COMPONENT libsotto-dev)

# Manual pages and completions come from the programs' own tables of options.
if(NOT CMAKE_CROSSCOMPILING)
  set(man_dir ${PROJECT_BINARY_DIR}/man)
  set(sotto_pages)
  function(sotto_page file target) # what `target ARGN` prints
    add_custom_command(OUTPUT ${man_dir}/${file}
      COMMAND ${CMAKE_COMMAND} -E make_directory ${man_dir}
      COMMAND ${target} ${ARGN} > ${man_dir}/${file}
      DEPENDS ${target} VERBATIM)
    set(sotto_pages ${sotto_pages} ${man_dir}/${file} PARENT_SCOPE)
  endfunction()
  sotto_page(sotto.1 sotto-cli --help=man)
  sotto_page(sottod.8 sottod --help=man)
  sotto_page(sotto.bash sotto-cli completions bash)
  sotto_page(sotto.zsh sotto-cli completions zsh)
  sotto_page(sotto.fish sotto-cli completions fish)
  add_custom_target(sotto-pages ALL DEPENDS ${sotto_pages})
  install(FILES ${man_dir}/sotto.1 DESTINATION ${CMAKE_INSTALL_MANDIR}/man1 COMPONENT sotto)
  install(FILES ${man_dir}/sottod.8 DESTINATION ${CMAKE_INSTALL_MANDIR}/man8 COMPONENT sottod)
  install(FILES ${man_dir}/sotto.bash DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions RENAME sotto COMPONENT sotto)
  install(FILES ${man_dir}/sotto.zsh DESTINATION ${CMAKE_INSTALL_DATADIR}/zsh/site-functions RENAME _sotto COMPONENT sotto)
  install(FILES ${man_dir}/sotto.fish DESTINATION ${CMAKE_INSTALL_DATADIR}/fish/vendor_completions.d COMPONENT sotto)
endif()
