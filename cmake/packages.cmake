# SPDX-License-Identifier: MIT
# cpack -G DEB: libsotto0 (library), libsotto-dev (header, link, pkg-config, CMake), sotto (client and model fetcher) and
# sottod (daemon and systemd units). What each needs is written here; tests/install/test_package.py holds it against
# what the binaries are linked with.
set(libsotto0_depends "libc6 (>= 2.36), libopenblas0-pthread | libblas3, libsndfile1, libsoxr0, libjansson4, libutf8proc2, zlib1g, libzstd1, libxxhash0")
if(SOTTO_FFMPEG)
  string(APPEND libsotto0_depends ", libavformat59, libavcodec59, libavutil57, libswresample4")
endif()

set(CPACK_PACKAGE_NAME sotto)
set(CPACK_PACKAGE_VENDOR sotto)
set(CPACK_PACKAGE_CONTACT "sotto <sotto@localhost>")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "${PROJECT_DESCRIPTION}")
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
set(CPACK_GENERATOR DEB)
set(CPACK_COMPONENTS_ALL libsotto0 libsotto-dev sotto sottod)
set(CPACK_COMPONENTS_GROUPING IGNORE)
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
set(CPACK_PRE_BUILD_SCRIPTS ${PROJECT_SOURCE_DIR}/cmake/package_permissions.cmake)
set(same "(= ${PROJECT_VERSION})")
set(shared "libc6 (>= 2.36), libjansson4, libutf8proc2, libnettle8, libwslay1, libsqlite3-0, libsotto0 ${same}")

# A component as a package: section, dependencies, summary.
macro(sotto_package component section depends summary)
  string(TOUPPER ${component} key)
  set(CPACK_DEBIAN_${key}_PACKAGE_NAME ${component})
  set(CPACK_DEBIAN_${key}_PACKAGE_SECTION ${section})
  set(CPACK_DEBIAN_${key}_PACKAGE_DEPENDS "${depends}")
  set(CPACK_COMPONENT_${key}_DESCRIPTION "${summary}")
  install(FILES LICENSE DESTINATION ${CMAKE_INSTALL_DATADIR}/doc/${component} RENAME copyright COMPONENT ${component})
endmacro()
sotto_package(libsotto0 libs "${libsotto0_depends}" "Whisper speech transcription, the library")
sotto_package(libsotto-dev libdevel "libsotto0 ${same}" "Whisper speech transcription, header of the library")
sotto_package(sotto sound "${shared}, libcurl4, libportaudio2" "Speech to text: client, live captions and model fetcher")
sotto_package(sottod sound "${shared}, libmicrohttpd12, libgnutls30, libhiredis0.14" "Speech to text: daemon with OpenAI's audio API")
set(CPACK_DEBIAN_SOTTO_PACKAGE_RECOMMENDS "python3, python3-pip, ca-certificates, curl")
set(CPACK_DEBIAN_SOTTOD_PACKAGE_RECOMMENDS "sotto")
set(CPACK_DEBIAN_LIBSOTTO0_PACKAGE_CONTROL_EXTRA ${PROJECT_SOURCE_DIR}/packaging/debian/libsotto0/triggers)
set(CPACK_DEBIAN_SOTTOD_PACKAGE_CONTROL_EXTRA ${PROJECT_SOURCE_DIR}/packaging/debian/sottod/postinst
  ${PROJECT_SOURCE_DIR}/packaging/debian/sottod/prerm ${PROJECT_SOURCE_DIR}/packaging/debian/sottod/postrm)
include(CPack)
