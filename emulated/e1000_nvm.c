// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The EEPROM (Microwire, 64 words), by the four wires of EECD and by EERD, and the PHY behind MDIC,
 * an 88E1011 at address 1 whose link is always one of 1000 Mb/s, full duplex.
 */
#include "e1000_priv.h"

#include <linux/mii.h>
#include <string.h>

#include "base/util.h"

#define EEPROM_SUM 0xbabau /* 5.6.35 */
#define WIRE_START 9u	   /* start bit, two of the operation, six of the address */
#define WIRE_READ 6u	   /* start bit and operation */
#define PHY_ADDR 1u

enum { PHY_SPEC_CTRL = 16, PHY_SPEC_STATUS = 17, PHY_EXT_CTRL = 20 };

void e1000_nvm_init(struct e1000 *e)
{
	uint16_t sum = 0;
	unsigned int i;

	memset(e->eeprom, 0, sizeof(e->eeprom));
	for (i = 0; i < 3; i++)
		e->eeprom[i] = get_le16(e->mac.b + (size_t)i * 2);
	e->eeprom[0x0a] = 0x4003; /* signature; IDs are loaded from here */
	e->eeprom[0x0b] = 0x001e;
	e->eeprom[0x0c] = 0x8086;
	e->eeprom[0x0d] = 0x100e;
	e->eeprom[0x0e] = 0x8086;
	for (i = 0; i < E1000_EEPROM_WORDS - 1; i++)
		sum = (uint16_t)(sum + e->eeprom[i]);
	e->eeprom[E1000_EEPROM_WORDS - 1] = (uint16_t)(EEPROM_SUM - sum);
}

/* One rising edge of the clock while the chip is selected. */
static void wire_clock(struct e1000 *e, bool di)
{
	struct e1000_microwire *w = &e->wire;

	if (w->bits >= WIRE_START) {
		/* Reading goes on with the next word, as the chip's does. */
		if (++w->bits == WIRE_START + 17) {
			w->in = (w->in & ~0x3fu) | ((w->in + 1) & 0x3f);
			w->bits = WIRE_START + 1;
		}
		return;
	}
	/* Zeros before the start bit mean nothing. */
	if (!w->bits && !di)
		return;
	w->in = w->in << 1 | di;
	w->bits++;
}

void e1000_eecd_write(struct e1000 *e, uint32_t value)
{
	uint32_t old = *e1000_reg(e, EECD);

	*e1000_reg(e, EECD) = value & (EECD_SK | EECD_CS | EECD_DI | EECD_REQ | 0x30);
	if (!(value & EECD_CS))
		memset(&e->wire, 0, sizeof(e->wire));
	else if (!(old & EECD_SK) && (value & EECD_SK))
		wire_clock(e, value & EECD_DI);
}

uint32_t e1000_eecd_read(struct e1000 *e)
{
	uint32_t value = *e1000_reg(e, EECD) | EECD_PRES;
	const struct e1000_microwire *w = &e->wire;
	bool bit = true; /* pulled up: idle and done */

	if (w->bits == WIRE_START)
		bit = false; /* a zero comes before the word */
	else if (w->bits > WIRE_START)
		bit = w->in >> 6 == WIRE_READ &&
		      e->eeprom[w->in & 0x3f] >> (15 - (w->bits - WIRE_START - 1)) & 1;
	if (bit)
		value |= EECD_DO;
	if (value & EECD_REQ)
		value |= EECD_GNT;
	return value;
}

void e1000_eerd_write(struct e1000 *e, uint32_t value)
{
	unsigned int word = value >> 8 & 0xff;
	uint32_t data = word < E1000_EEPROM_WORDS ? e->eeprom[word] : 0;

	if (value & EERD_START)
		*e1000_reg(e, EERD) = data << 16 | word << 8 | EERD_DONE;
}

void e1000_link_show(struct e1000 *e)
{
	uint32_t *status = e1000_reg(e, STATUS);

	*status = STATUS_FD | STATUS_SPEED_1000 | (e->link ? STATUS_LU : 0);
	e->phy[MII_BMSR] = BMSR_100FULL | BMSR_100HALF | BMSR_10FULL | BMSR_10HALF | BMSR_ESTATEN |
			   BMSR_ANEGCAPABLE | BMSR_ERCAP | 0x40;
	e->phy[PHY_SPEC_STATUS] = 0xa800; /* 1000 Mb/s, full duplex, resolved */
	e->phy[MII_LPA] = 0;
	e->phy[MII_STAT1000] = 0;
	if (!e->link)
		return;
	e->phy[MII_BMSR] |= BMSR_LSTATUS | BMSR_ANEGCOMPLETE;
	e->phy[PHY_SPEC_STATUS] |= 0x0400;
	e->phy[MII_LPA] = LPA_LPACK | LPA_DUPLEX | LPA_100HALF | LPA_10HALF | ADVERTISE_CSMA;
	e->phy[MII_STAT1000] = LPA_1000LOCALRXOK | LPA_1000REMRXOK | LPA_1000FULL | LPA_1000HALF;
}

void e1000_phy_reset(struct e1000 *e)
{
	memset(e->phy, 0, sizeof(e->phy));
	e->phy[MII_BMCR] = BMCR_ANENABLE | BMCR_FULLDPLX | BMCR_SPEED1000;
	e->phy[MII_PHYSID1] = 0x0141;
	e->phy[MII_PHYSID2] = 0x0c20;
	e->phy[MII_ADVERTISE] = ADVERTISE_ALL | ADVERTISE_CSMA;
	e->phy[MII_EXPANSION] = EXPANSION_NWAY;
	e->phy[MII_CTRL1000] = ADVERTISE_1000FULL | ADVERTISE_1000HALF;
	e->phy[MII_ESTATUS] = ESTATUS_1000_TFULL | ESTATUS_1000_THALF;
	e->phy[PHY_SPEC_CTRL] = 0x0060; /* crossover found by itself */
	e->phy[PHY_EXT_CTRL] = 0x0060;
	e1000_link_show(e);
}

static void phy_write(struct e1000 *e, unsigned int reg, uint16_t value)
{
	switch (reg) {
	case MII_BMCR:
		if (value & BMCR_RESET)
			e1000_phy_reset(e);
		else
			e->phy[reg] = value & (uint16_t)~BMCR_ANRESTART;
		/* It is over as soon as it began. */
		if (value & (BMCR_ANRESTART | BMCR_RESET) && e->link)
			e1000_cause(e, ICR_LSC);
		break;
	case MII_BMSR:
	case MII_PHYSID1:
	case MII_PHYSID2:
	case MII_LPA:
	case MII_EXPANSION:
	case MII_STAT1000:
	case MII_ESTATUS:
	case PHY_SPEC_STATUS:
		break;
	default:
		e->phy[reg] = value;
	}
}

void e1000_mdic_write(struct e1000 *e, uint32_t value)
{
	unsigned int reg = value >> 16 & 0x1f, phy = value >> 21 & 0x1f;
	uint32_t result = (value & 0x27ffffffu) | (value & MDIC_OP) | MDIC_READY;

	if (phy != PHY_ADDR)
		result |= MDIC_ERROR;
	else if ((value & MDIC_OP) == MDIC_OP_READ)
		result = (result & ~0xffffu) | e->phy[reg];
	else if ((value & MDIC_OP) == MDIC_OP_WRITE)
		phy_write(e, reg, (uint16_t)value);
	*e1000_reg(e, MDIC) = result;
	if (value & MDIC_INT)
		e1000_cause(e, ICR_MDAC);
}

void e1000_nvm_reset(struct e1000 *e)
{
	memset(&e->wire, 0, sizeof(e->wire));
}
