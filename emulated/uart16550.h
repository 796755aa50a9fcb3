/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The first serial port: a 16550A at PIO_COM1 (National Semiconductor PC16550D data sheet). */
#ifndef VIADUCT_EMULATED_UART16550_H
#define VIADUCT_EMULATED_UART16550_H

struct chardev;
struct err;
struct vm;

/* Makes the device ("uart16550", id "com1"), connects it to @chardev and adds it to vm->devs, which
 * owns it. @chardev stays the caller's and must outlive the VM. Before acpi_build(), which
 * describes the port to the guest when it is there. Loop thread. */
int uart_new(struct vm *vm, struct chardev *chardev, struct err *err);

#endif
