# tidings_localise_static(TARGET): makes libtidings.a, the static library that is installed, from the objects of
# the static library TARGET.
#
# An archive shows the names of all its rooms (buf_init, conn_close…) to whoever links it, where they could
# meet the embedder's own. So the objects are joined into one, and every global name in it that is not
# tidings_* becomes local. Unit tests link TARGET itself, whose rooms they can call.
#
# The file is ${CMAKE_CURRENT_BINARY_DIR}/libtidings.a; the variable TIDINGS_STATIC_LIBRARY holds the path in
# the caller's scope, the target TARGET_localised (part of `all`) makes it. Link time optimisation has to be
# off for TARGET: intermediate code has no symbols that objcopy could see.
function(tidings_localise_static target)
  set(object ${CMAKE_CURRENT_BINARY_DIR}/libtidings.o)
  set(library ${CMAKE_CURRENT_BINARY_DIR}/libtidings.a)
  set_target_properties(${target} PROPERTIES INTERPROCEDURAL_OPTIMIZATION OFF)
  add_custom_command(
    OUTPUT ${library}
    COMMAND ${CMAKE_LINKER} -r -o ${object} $<TARGET_OBJECTS:${target}>
    COMMAND ${CMAKE_OBJCOPY} --wildcard "--keep-global-symbol=tidings_*" ${object}
    COMMAND ${CMAKE_COMMAND} -E rm -f ${library}
    COMMAND ${CMAKE_AR} rcs ${library} ${object}
    COMMAND ${CMAKE_COMMAND} -E rm -f ${object}
    DEPENDS $<TARGET_OBJECTS:${target}>
    COMMENT "Hiding the rooms in libtidings.a"
    COMMAND_EXPAND_LISTS VERBATIM)
  add_custom_target(${target}_localised ALL DEPENDS ${library})
  set(TIDINGS_STATIC_LIBRARY ${library} PARENT_SCOPE)
endfunction()
