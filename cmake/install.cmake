# SPDX-License-Identifier: MIT
# cmake --install: library, header, daemon, client, model fetcher, pkg-config and CMake package files.
include(CMakePackageConfigHelpers)

set_target_properties(libsotto PROPERTIES EXPORT_NAME sotto)
install(TARGETS libsotto EXPORT sotto
  LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR}
  PUBLIC_HEADER DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(TARGETS sottod sotto-cli RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})

# The fetcher reads the catalogue beside itself, also through the link in bin/.
install(PROGRAMS models/fetch DESTINATION ${CMAKE_INSTALL_DATADIR}/sotto)
install(FILES models/catalog.json DESTINATION ${CMAKE_INSTALL_DATADIR}/sotto)
file(RELATIVE_PATH fetch_from_bin ${CMAKE_INSTALL_FULL_BINDIR} ${CMAKE_INSTALL_FULL_DATADIR}/sotto/fetch)
file(MAKE_DIRECTORY ${PROJECT_BINARY_DIR}/install)
file(CREATE_LINK ${fetch_from_bin} ${PROJECT_BINARY_DIR}/install/sotto-fetch SYMBOLIC)
install(FILES ${PROJECT_BINARY_DIR}/install/sotto-fetch DESTINATION ${CMAKE_INSTALL_BINDIR})

install(FILES LICENSE README.md CHANGELOG.md DESTINATION ${CMAKE_INSTALL_DOCDIR})

# For systemd: systemctl enable sottod.service, or sottod.socket.
configure_file(packaging/sottod.service.in ${PROJECT_BINARY_DIR}/install/sottod.service @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/install/sottod.service packaging/sottod.socket
  DESTINATION ${CMAKE_INSTALL_PREFIX}/lib/systemd/system)
install(FILES packaging/grafana-dashboard.json DESTINATION ${CMAKE_INSTALL_DATADIR}/sotto)

# pkg-config: a program sees sotto.h and libsotto only; what libsotto itself needs is private.
set(pc_requires "openblas, sndfile, soxr, jansson, libutf8proc, zlib, libzstd, libxxhash")
if(SOTTO_FFMPEG)
  string(APPEND pc_requires ", libavformat, libavcodec, libavutil, libswresample")
endif()
# Paths are written relative to the .pc file, so that a prefix chosen at install time (--prefix) holds.
file(RELATIVE_PATH pc_prefix ${CMAKE_INSTALL_FULL_LIBDIR}/pkgconfig ${CMAKE_INSTALL_PREFIX})
configure_file(cmake/sotto.pc.in ${PROJECT_BINARY_DIR}/install/sotto.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/install/sotto.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)

set(cmake_dir ${CMAKE_INSTALL_LIBDIR}/cmake/sotto)
install(EXPORT sotto FILE sotto-targets.cmake NAMESPACE sotto:: DESTINATION ${cmake_dir})
configure_package_config_file(cmake/sotto-config.cmake.in ${PROJECT_BINARY_DIR}/install/sotto-config.cmake
  INSTALL_DESTINATION ${cmake_dir})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/install/sotto-config-version.cmake
  COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/install/sotto-config.cmake ${PROJECT_BINARY_DIR}/install/sotto-config-version.cmake
  DESTINATION ${cmake_dir})
