# cmake -DIN=file.json -DOUT=openapi_data.c -P bytes.cmake: a file as a C array.
file(READ ${IN} hex HEX)
string(LENGTH "${hex}" digits)
math(EXPR length "${digits} / 2")
string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${hex}")
string(REGEX REPLACE "(0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,)" "\\1\n" bytes "${bytes}")
file(WRITE ${OUT} "#include \"openapi_data.h\"\n\nconst char openapi_data[] = {\n${bytes}0};\n\nconst size_t openapi_data_len = ${length};\n")
