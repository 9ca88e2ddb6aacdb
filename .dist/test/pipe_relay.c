// Serves a named pipe with what a TCP address answers, as Docker Desktop serves its engine:
//   pipe_relay \\.\pipe\NAME ADDRESS PORT
// For tests under Wine alone; never shipped.
#include <winsock2.h>
#include <windows.h>
#include <stdio.h>
#include <stdlib.h>

struct relay { HANDLE pipe; SOCKET socket; };

// A pipe that is read and written at once waits for each on its own.
static DWORD moved(HANDLE pipe, char *bytes, DWORD length, BOOL reading) {
    OVERLAPPED waiting = {.hEvent = CreateEvent(NULL, TRUE, FALSE, NULL)};
    DWORD done = 0;
    BOOL begun = reading ? ReadFile(pipe, bytes, length, NULL, &waiting) : WriteFile(pipe, bytes, length, NULL, &waiting);
    if (!begun && GetLastError() != ERROR_IO_PENDING) done = 0;
    else if (!GetOverlappedResult(pipe, &waiting, &done, TRUE)) done = 0;
    CloseHandle(waiting.hEvent);
    return done;
}

static DWORD WINAPI to_socket(void *given) {
    struct relay *relay = given;
    char bytes[65536];
    DWORD length;
    while ((length = moved(relay->pipe, bytes, sizeof bytes, TRUE)) > 0)
        if (send(relay->socket, bytes, length, 0) != (int)length) break;
    shutdown(relay->socket, SD_SEND);
    return 0;
}

static DWORD WINAPI to_pipe(void *given) {
    struct relay *relay = given;
    char bytes[65536];
    int length;
    HANDLE other = CreateThread(NULL, 0, to_socket, relay, 0, NULL);
    while ((length = recv(relay->socket, bytes, sizeof bytes, 0)) > 0)
        for (int sent = 0; sent < length;) {
            DWORD now = moved(relay->pipe, bytes + sent, length - sent, FALSE);
            if (now == 0) { sent = length; length = 0; break; }
            sent += now;
        }
    FlushFileBuffers(relay->pipe);
    DisconnectNamedPipe(relay->pipe);
    WaitForSingleObject(other, INFINITE);
    CloseHandle(relay->pipe);
    closesocket(relay->socket);
    free(relay);
    return 0;
}

int main(int count, char **words) {
    WSADATA data;
    if (count != 4 || WSAStartup(MAKEWORD(2, 2), &data) != 0) return 2;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(atoi(words[3])), .sin_addr.s_addr = inet_addr(words[2])};
    for (int served = 0;; served++) {
        struct relay *relay = malloc(sizeof *relay);
        relay->pipe = CreateNamedPipeA(words[1], PIPE_ACCESS_DUPLEX | FILE_FLAG_OVERLAPPED, PIPE_TYPE_BYTE | PIPE_READMODE_BYTE | PIPE_WAIT,
            PIPE_UNLIMITED_INSTANCES, 65536, 65536, 0, NULL);
        if (relay->pipe == INVALID_HANDLE_VALUE) { fprintf(stderr, "no pipe: %lu\n", GetLastError()); return 1; }
        if (served == 0) { puts("ready"); fflush(stdout); }
        OVERLAPPED waiting = {.hEvent = CreateEvent(NULL, TRUE, FALSE, NULL)};
        DWORD none;
        if (!ConnectNamedPipe(relay->pipe, &waiting) && GetLastError() == ERROR_IO_PENDING) GetOverlappedResult(relay->pipe, &waiting, &none, TRUE);
        CloseHandle(waiting.hEvent);
        relay->socket = socket(AF_INET, SOCK_STREAM, 0);
        if (connect(relay->socket, (struct sockaddr *)&address, sizeof address) != 0) { fprintf(stderr, "no connection: %d\n", WSAGetLastError()); return 1; }
        CloseHandle(CreateThread(NULL, 0, to_pipe, relay, 0, NULL));
    }
}
