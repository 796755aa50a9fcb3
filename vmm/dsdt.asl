// SPDX-License-Identifier: GPL-2.0-or-later
//
// The DSDT, compiled by iasl at build time. Addresses and interrupts are those of vmm/types.h; what
// is only known at run time is read from the info page (struct acpi_info of vmm/acpi.h).

DefinitionBlock ("", "DSDT", 2, "VIADCT", "VIADUCT", 0x00000001)
{
	// ACPI 6.4, 7.4.2.6: the value that vmm/acpi_pm.c takes for power-off.
	Name (\_S5, Package () { 5, 0, 0, 0 })

	// Struct acpi_info.
	OperationRegion (INFO, SystemMemory, 0x000FF000, 0x18)
	Field (INFO, DWordAcc, NoLock, Preserve)
	{
		M64B, 64, // base of the 64-bit window
		M64S, 64, // its size, 0: there is none
		COM1, 32, // 1: a UART is at 0x3F8
		LBUS, 32  // the highest bus number
	}

	// vmm/acpi_pm.c: event bits, cleared by reading.
	OperationRegion (EVTR, SystemIO, 0x0608, 0x04)
	Field (EVTR, DWordAcc, NoLock, Preserve)
	{
		EVTS, 32
	}

	Scope (\_SB)
	{
		// What no other device may be given. Linux trusts MCFG only where it finds the ECAM
		// here or reserved in the memory map; PCI Firmware 3.2, 4.1.2.
		Device (MBRD)
		{
			Name (_HID, EisaId ("PNP0C02"))
			Name (_UID, 0)
			Name (_CRS, ResourceTemplate ()
			{
				Memory32Fixed (ReadWrite, 0xE0000000, 0x10000000)
				IO (Decode16, 0x0600, 0x0600, 0x01, 0x10)
			})
		}

		Device (PCI0)
		{
			Name (_HID, EisaId ("PNP0A08"))
			Name (_CID, EisaId ("PNP0A03"))
			Name (_UID, 0)
			Name (_SEG, 0)
			Name (_BBN, 0)
			// DMA is coherent, as everywhere on x86. No _CBA: the bridge is not
			// hot-plugged, MCFG has its address.
			Name (_CCA, 1)

			Name (CRS0, ResourceTemplate ()
			{
				WordBusNumber (ResourceProducer, MinFixed, MaxFixed, PosDecode,
					0x0000, 0x0000, 0x0000, 0x0000, 0x0001, , , BUSN)
				IO (Decode16, 0x0CF8, 0x0CF8, 0x01, 0x08)
				WordIO (ResourceProducer, MinFixed, MaxFixed, PosDecode,
					EntireRange, 0x0000, 0x1000, 0xFFFF, 0x0000, 0xF000)
				DWordMemory (ResourceProducer, PosDecode, MinFixed, MaxFixed,
					NonCacheable, ReadWrite,
					0x00000000, 0xC0000000, 0xDFFFFFFF, 0x00000000, 0x20000000)
			})
			Name (CRS1, ResourceTemplate ()
			{
				QWordMemory (ResourceProducer, PosDecode, MinFixed, MaxFixed,
					Cacheable, ReadWrite,
					0x0000000000000000, 0x0000000100000000, 0x00000001FFFFFFFF,
					0x0000000000000000, 0x0000000100000000, , , W64)
			})
			Method (_CRS, 0, Serialized)
			{
				// Only the buses that there are: Linux looks for devices on all.
				CreateWordField (CRS0, ^BUSN._MAX, BMAX)
				CreateWordField (CRS0, ^BUSN._LEN, BLEN)
				Store (LBUS, BMAX)
				Store (Add (LBUS, 1), BLEN)
				If (LEqual (M64S, 0))
				{
					Return (CRS0)
				}
				CreateQWordField (CRS1, ^W64._MIN, WMIN)
				CreateQWordField (CRS1, ^W64._MAX, WMAX)
				CreateQWordField (CRS1, ^W64._LEN, WLEN)
				Store (M64B, WMIN)
				Store (M64S, WLEN)
				Store (Subtract (Add (M64B, M64S), 1), WMAX)
				Return (ConcatenateResTemplate (CRS0, CRS1))
			}

			// PCI Firmware 3.3, 4.5.1. Firmware here does nothing by itself, so the
			// system may have all: hot plug (0, 1), PME (2), AER (3), the PCIe
			// capability (4), LTR (5) and DPC (7).
			Method (_OSC, 4, Serialized)
			{
				CreateDWordField (Arg3, 0, CDW1)
				Store (ToUUID ("33DB4D5B-1FF7-401C-9657-7441C03DD766"), Local1)
				If (LNotEqual (Arg0, Local1))
				{
					Or (CDW1, 0x04, CDW1) // unknown UUID
					Return (Arg3)
				}
				If (LNotEqual (Arg1, 1))
				{
					Or (CDW1, 0x08, CDW1) // unknown revision
					Return (Arg3)
				}
				If (LLess (Arg2, 3))
				{
					Or (CDW1, 0x02, CDW1) // failed: no control field
					Return (Arg3)
				}
				CreateDWordField (Arg3, 8, CDW3)
				And (CDW3, 0xBF, Local0)
				If (LNotEqual (Local0, CDW3))
				{
					Or (CDW1, 0x10, CDW1) // something was not granted
				}
				Store (Local0, CDW3)
				Return (Arg3)
			}
		}

		Device (COMA)
		{
			Name (_HID, EisaId ("PNP0501"))
			Name (_UID, 1)
			Method (_STA, 0, NotSerialized)
			{
				If (LEqual (COM1, 1))
				{
					Return (0x0F)
				}
				Return (0x00)
			}
			// Linux takes an extended descriptor as it stands; the old IRQ() it would
			// look up among the ISA overrides, of which there are none.
			Name (_CRS, ResourceTemplate ()
			{
				IO (Decode16, 0x03F8, 0x03F8, 0x00, 0x08)
				Interrupt (ResourceConsumer, Edge, ActiveHigh, Exclusive) { 4 }
			})
		}

		Device (PWRB)
		{
			Name (_HID, EisaId ("PNP0C0C"))
			Name (_UID, 0)
		}

		// The Generic Event Device, ACPI 6.4, 5.6.9: what a hardware-reduced platform has
		// instead of GPEs.
		Device (GED0)
		{
			Name (_HID, "ACPI0013")
			Name (_UID, 0)
			Name (_CRS, ResourceTemplate ()
			{
				Interrupt (ResourceConsumer, Edge, ActiveHigh, Exclusive) { 9 }
			})
			Method (_EVT, 1, Serialized)
			{
				Store (EVTS, Local0)
				If (And (Local0, 1))
				{
					Notify (PWRB, 0x80)
				}
			}
		}
	}

	Scope (\_SB.PCI0)
	{
		// Slot d, pin p: GSI 16 + (d + p) % 8 as in vmm/types.h. No source, so Linux
		// programs level and active low; KVM ignores the polarity
		// (KVM_CAP_X86_IOAPIC_POLARITY_IGNORED, Linux 3.15).
		Name (_PRT, Package ()
		{
			Package () { 0x00FFFF, 0, 0, 16 }, Package () { 0x00FFFF, 1, 0, 17 },
			Package () { 0x00FFFF, 2, 0, 18 }, Package () { 0x00FFFF, 3, 0, 19 },
			Package () { 0x01FFFF, 0, 0, 17 }, Package () { 0x01FFFF, 1, 0, 18 },
			Package () { 0x01FFFF, 2, 0, 19 }, Package () { 0x01FFFF, 3, 0, 20 },
			Package () { 0x02FFFF, 0, 0, 18 }, Package () { 0x02FFFF, 1, 0, 19 },
			Package () { 0x02FFFF, 2, 0, 20 }, Package () { 0x02FFFF, 3, 0, 21 },
			Package () { 0x03FFFF, 0, 0, 19 }, Package () { 0x03FFFF, 1, 0, 20 },
			Package () { 0x03FFFF, 2, 0, 21 }, Package () { 0x03FFFF, 3, 0, 22 },
			Package () { 0x04FFFF, 0, 0, 20 }, Package () { 0x04FFFF, 1, 0, 21 },
			Package () { 0x04FFFF, 2, 0, 22 }, Package () { 0x04FFFF, 3, 0, 23 },
			Package () { 0x05FFFF, 0, 0, 21 }, Package () { 0x05FFFF, 1, 0, 22 },
			Package () { 0x05FFFF, 2, 0, 23 }, Package () { 0x05FFFF, 3, 0, 16 },
			Package () { 0x06FFFF, 0, 0, 22 }, Package () { 0x06FFFF, 1, 0, 23 },
			Package () { 0x06FFFF, 2, 0, 16 }, Package () { 0x06FFFF, 3, 0, 17 },
			Package () { 0x07FFFF, 0, 0, 23 }, Package () { 0x07FFFF, 1, 0, 16 },
			Package () { 0x07FFFF, 2, 0, 17 }, Package () { 0x07FFFF, 3, 0, 18 },
			Package () { 0x08FFFF, 0, 0, 16 }, Package () { 0x08FFFF, 1, 0, 17 },
			Package () { 0x08FFFF, 2, 0, 18 }, Package () { 0x08FFFF, 3, 0, 19 },
			Package () { 0x09FFFF, 0, 0, 17 }, Package () { 0x09FFFF, 1, 0, 18 },
			Package () { 0x09FFFF, 2, 0, 19 }, Package () { 0x09FFFF, 3, 0, 20 },
			Package () { 0x0AFFFF, 0, 0, 18 }, Package () { 0x0AFFFF, 1, 0, 19 },
			Package () { 0x0AFFFF, 2, 0, 20 }, Package () { 0x0AFFFF, 3, 0, 21 },
			Package () { 0x0BFFFF, 0, 0, 19 }, Package () { 0x0BFFFF, 1, 0, 20 },
			Package () { 0x0BFFFF, 2, 0, 21 }, Package () { 0x0BFFFF, 3, 0, 22 },
			Package () { 0x0CFFFF, 0, 0, 20 }, Package () { 0x0CFFFF, 1, 0, 21 },
			Package () { 0x0CFFFF, 2, 0, 22 }, Package () { 0x0CFFFF, 3, 0, 23 },
			Package () { 0x0DFFFF, 0, 0, 21 }, Package () { 0x0DFFFF, 1, 0, 22 },
			Package () { 0x0DFFFF, 2, 0, 23 }, Package () { 0x0DFFFF, 3, 0, 16 },
			Package () { 0x0EFFFF, 0, 0, 22 }, Package () { 0x0EFFFF, 1, 0, 23 },
			Package () { 0x0EFFFF, 2, 0, 16 }, Package () { 0x0EFFFF, 3, 0, 17 },
			Package () { 0x0FFFFF, 0, 0, 23 }, Package () { 0x0FFFFF, 1, 0, 16 },
			Package () { 0x0FFFFF, 2, 0, 17 }, Package () { 0x0FFFFF, 3, 0, 18 },
			Package () { 0x10FFFF, 0, 0, 16 }, Package () { 0x10FFFF, 1, 0, 17 },
			Package () { 0x10FFFF, 2, 0, 18 }, Package () { 0x10FFFF, 3, 0, 19 },
			Package () { 0x11FFFF, 0, 0, 17 }, Package () { 0x11FFFF, 1, 0, 18 },
			Package () { 0x11FFFF, 2, 0, 19 }, Package () { 0x11FFFF, 3, 0, 20 },
			Package () { 0x12FFFF, 0, 0, 18 }, Package () { 0x12FFFF, 1, 0, 19 },
			Package () { 0x12FFFF, 2, 0, 20 }, Package () { 0x12FFFF, 3, 0, 21 },
			Package () { 0x13FFFF, 0, 0, 19 }, Package () { 0x13FFFF, 1, 0, 20 },
			Package () { 0x13FFFF, 2, 0, 21 }, Package () { 0x13FFFF, 3, 0, 22 },
			Package () { 0x14FFFF, 0, 0, 20 }, Package () { 0x14FFFF, 1, 0, 21 },
			Package () { 0x14FFFF, 2, 0, 22 }, Package () { 0x14FFFF, 3, 0, 23 },
			Package () { 0x15FFFF, 0, 0, 21 }, Package () { 0x15FFFF, 1, 0, 22 },
			Package () { 0x15FFFF, 2, 0, 23 }, Package () { 0x15FFFF, 3, 0, 16 },
			Package () { 0x16FFFF, 0, 0, 22 }, Package () { 0x16FFFF, 1, 0, 23 },
			Package () { 0x16FFFF, 2, 0, 16 }, Package () { 0x16FFFF, 3, 0, 17 },
			Package () { 0x17FFFF, 0, 0, 23 }, Package () { 0x17FFFF, 1, 0, 16 },
			Package () { 0x17FFFF, 2, 0, 17 }, Package () { 0x17FFFF, 3, 0, 18 },
			Package () { 0x18FFFF, 0, 0, 16 }, Package () { 0x18FFFF, 1, 0, 17 },
			Package () { 0x18FFFF, 2, 0, 18 }, Package () { 0x18FFFF, 3, 0, 19 },
			Package () { 0x19FFFF, 0, 0, 17 }, Package () { 0x19FFFF, 1, 0, 18 },
			Package () { 0x19FFFF, 2, 0, 19 }, Package () { 0x19FFFF, 3, 0, 20 },
			Package () { 0x1AFFFF, 0, 0, 18 }, Package () { 0x1AFFFF, 1, 0, 19 },
			Package () { 0x1AFFFF, 2, 0, 20 }, Package () { 0x1AFFFF, 3, 0, 21 },
			Package () { 0x1BFFFF, 0, 0, 19 }, Package () { 0x1BFFFF, 1, 0, 20 },
			Package () { 0x1BFFFF, 2, 0, 21 }, Package () { 0x1BFFFF, 3, 0, 22 },
			Package () { 0x1CFFFF, 0, 0, 20 }, Package () { 0x1CFFFF, 1, 0, 21 },
			Package () { 0x1CFFFF, 2, 0, 22 }, Package () { 0x1CFFFF, 3, 0, 23 },
			Package () { 0x1DFFFF, 0, 0, 21 }, Package () { 0x1DFFFF, 1, 0, 22 },
			Package () { 0x1DFFFF, 2, 0, 23 }, Package () { 0x1DFFFF, 3, 0, 16 },
			Package () { 0x1EFFFF, 0, 0, 22 }, Package () { 0x1EFFFF, 1, 0, 23 },
			Package () { 0x1EFFFF, 2, 0, 16 }, Package () { 0x1EFFFF, 3, 0, 17 },
			Package () { 0x1FFFFF, 0, 0, 23 }, Package () { 0x1FFFFF, 1, 0, 16 },
			Package () { 0x1FFFFF, 2, 0, 17 }, Package () { 0x1FFFFF, 3, 0, 18 }
		})
	}
}
