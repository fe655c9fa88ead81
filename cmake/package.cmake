# What is installed, and the Debian package made from it (./dev package). Include it after the targets exist:
#     include(cmake/package.cmake)
# server/ installs the hub itself; this adds the library, its papers and the unit. Needs the target
# tidings_shared, and src/ to have called tidings_localise_static().
# TIDINGS_PC_REQUIRES_PRIVATE may name the pkg-config modules that the library itself links.
include(GNUInstallDirs)

install(TARGETS tidings_shared LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(FILES ${PROJECT_BINARY_DIR}/src/libtidings.a DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(FILES ${PROJECT_SOURCE_DIR}/include/tidings.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})

# The prefix is only known when installing (cmake --install --prefix, cpack), so the file is written then.
install(CODE "
  set(PROJECT_VERSION \"${PROJECT_VERSION}\")
  set(TIDINGS_PC_REQUIRES_PRIVATE \"${TIDINGS_PC_REQUIRES_PRIVATE}\")
  set(TIDINGS_PC_LIBDIR \"\\\${prefix}/${CMAKE_INSTALL_LIBDIR}\")
  set(TIDINGS_PC_INCLUDEDIR \"\\\${prefix}/${CMAKE_INSTALL_INCLUDEDIR}\")
  configure_file(\"${PROJECT_SOURCE_DIR}/src/tidings.pc.in\" \"${PROJECT_BINARY_DIR}/tidings.pc\" @ONLY)")
install(FILES ${PROJECT_BINARY_DIR}/tidings.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)

install(FILES ${PROJECT_SOURCE_DIR}/packaging/tidings.service DESTINATION lib/systemd/system)
install(FILES ${PROJECT_SOURCE_DIR}/packaging/sysctl.conf DESTINATION ${CMAKE_INSTALL_DOCDIR})
install(FILES ${PROJECT_SOURCE_DIR}/LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR} RENAME copyright)

set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME tidings)
set(CPACK_PACKAGE_VERSION ${PROJECT_VERSION})
set(CPACK_PACKAGE_CONTACT "The Tidings authors")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "Server-Sent Events hub")
set(CPACK_PACKAGE_DESCRIPTION
    "Tidings keeps one open HTTP stream to each browser or device and pushes JSON events to them: to one
client, to a topic, to everybody. The package holds the hub, a systemd unit, and the same hub as a C library
with its header and pkg-config file.")
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SECTION net)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_DEPENDS "libsqlite3-0 (>= 3.37)") # strict tables
set(CPACK_DEBIAN_PACKAGE_RECOMMENDS "libcurl4") # loaded for --authorize-url and --event-url only
set(CPACK_DEBIAN_PACKAGE_SUGGESTS "libsqlite3-dev, libnghttp2-dev, libssl-dev") # what tidings.pc names, for who builds against the library
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
include(CPack)
