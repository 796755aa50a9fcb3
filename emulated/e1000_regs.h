/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Registers and descriptor bits of the 8254x family, by the names of Intel's developer's manual
 * (317453, chapters 3 and 13). */
#ifndef VIADUCT_EMULATED_E1000_REGS_H
#define VIADUCT_EMULATED_E1000_REGS_H

enum e1000_reg {
	CTRL = 0x0000,
	STATUS = 0x0008,
	EECD = 0x0010,
	EERD = 0x0014,
	MDIC = 0x0020,
	VET = 0x0038,
	ICR = 0x00c0,
	ITR = 0x00c4,
	ICS = 0x00c8,
	IMS = 0x00d0,
	IMC = 0x00d8,
	RCTL = 0x0100,
	TCTL = 0x0400,
	LEDCTL = 0x0e00,
	PBA = 0x1000,
	RDBAL = 0x2800,
	RDBAH = 0x2804,
	RDLEN = 0x2808,
	RDH = 0x2810,
	RDT = 0x2818,
	TDBAL = 0x3800,
	TDBAH = 0x3804,
	TDLEN = 0x3808,
	TDH = 0x3810,
	TDT = 0x3818,
	STATS = 0x4000,
	MPC = 0x4010,
	GPRC = 0x4074,
	GPTC = 0x4080,
	GORCL = 0x4088,
	GORCH = 0x408c,
	GOTCL = 0x4090,
	GOTCH = 0x4094,
	TPR = 0x40d0,
	TPT = 0x40d4,
	STATS_END = 0x4100,
	MTA = 0x5200,
	RAL = 0x5400,
	VFTA = 0x5600,
	REGS_END = 0x6000,
};

#define CTRL_FD (1u << 0)
#define CTRL_SLU (1u << 6)
#define CTRL_RST (1u << 26)
#define CTRL_VME (1u << 30)
#define CTRL_PHY_RST (1u << 31)

#define STATUS_FD (1u << 0)
#define STATUS_LU (1u << 1)
#define STATUS_SPEED_1000 (2u << 6)

#define EECD_SK (1u << 0)
#define EECD_CS (1u << 1)
#define EECD_DI (1u << 2)
#define EECD_DO (1u << 3)
#define EECD_REQ (1u << 6)
#define EECD_GNT (1u << 7)
#define EECD_PRES (1u << 8)

#define EERD_START (1u << 0)
#define EERD_DONE (1u << 4)

#define MDIC_OP_WRITE (1u << 26)
#define MDIC_OP_READ (2u << 26)
#define MDIC_OP (3u << 26)
#define MDIC_READY (1u << 28)
#define MDIC_INT (1u << 29)
#define MDIC_ERROR (1u << 30)

#define ICR_TXDW (1u << 0)
#define ICR_TXQE (1u << 1)
#define ICR_LSC (1u << 2)
#define ICR_RXDMT0 (1u << 4)
#define ICR_RXO (1u << 6)
#define ICR_RXT0 (1u << 7)
#define ICR_MDAC (1u << 9)
#define ICR_BITS 0x0001ffffu

#define RCTL_EN (1u << 1)
#define RCTL_UPE (1u << 3)
#define RCTL_MPE (1u << 4)
#define RCTL_LPE (1u << 5)
#define RCTL_LBM (3u << 6)
#define RCTL_BAM (1u << 15)
#define RCTL_VFE (1u << 18)
#define RCTL_BSEX (1u << 25)
#define RCTL_SECRC (1u << 26)

#define TCTL_EN (1u << 1)

#define RAH_AV (1u << 31)

#define TXD_EOP 0x01u
#define TXD_IC 0x04u  /* legacy */
#define TXD_TSE 0x04u /* context and data */
#define TXD_RS 0x08u
#define TXD_DEXT 0x20u
#define TXD_VLE 0x40u
#define TXD_TCP 0x01u /* TUCMD */
#define TXD_IP 0x02u
#define TXD_IXSM 0x01u /* POPTS */
#define TXD_TXSM 0x02u
#define TXD_DD 0x01u

#define RXD_DD 0x01u
#define RXD_EOP 0x02u
#define RXD_IXSM 0x04u
#define RXD_VP 0x08u

#define E1000_DESC 16u

#endif
