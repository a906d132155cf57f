"""Countries and their capitals, for questions that are known or not known."""

from __future__ import annotations

_TABLE = """
    Afghanistan: Kabul; Albania: Tirana; Algeria: Algiers; Angola: Luanda; Argentina: Buenos Aires; Armenia:
    Yerevan; Australia: Canberra; Austria: Vienna; Azerbaijan: Baku; Bahrain: Manama; Bangladesh: Dhaka; Belarus:
    Minsk; Belgium: Brussels; Bhutan: Thimphu; Botswana: Gaborone; Brazil: Brasilia; Bulgaria: Sofia; Cambodia:
    Phnom Penh; Cameroon: Yaounde; Canada: Ottawa; Chad: N'Djamena; Chile: Santiago; China: Beijing; Colombia:
    Bogota; Costa Rica: San Jose; Croatia: Zagreb; Cuba: Havana; Cyprus: Nicosia; Denmark: Copenhagen; Ecuador:
    Quito; Egypt: Cairo; Eritrea: Asmara; Estonia: Tallinn; Ethiopia: Addis Ababa; Fiji: Suva; Finland: Helsinki;
    France: Paris; Georgia: Tbilisi; Germany: Berlin; Ghana: Accra; Greece: Athens; Guyana: Georgetown; Haiti:
    Port-au-Prince; Honduras: Tegucigalpa; Hungary: Budapest; Iceland: Reykjavik; India: New Delhi; Indonesia:
    Jakarta; Iran: Tehran; Iraq: Baghdad; Ireland: Dublin; Italy: Rome; Jamaica: Kingston; Japan: Tokyo; Jordan:
    Amman; Kazakhstan: Astana; Kenya: Nairobi; Kuwait: Kuwait City; Kyrgyzstan: Bishkek; Laos: Vientiane; Latvia:
    Riga; Lebanon: Beirut; Liberia: Monrovia; Libya: Tripoli; Lithuania: Vilnius; Madagascar: Antananarivo; Malawi:
    Lilongwe; Malaysia: Kuala Lumpur; Mali: Bamako; Malta: Valletta; Mexico: Mexico City; Moldova: Chisinau;
    Mongolia: Ulaanbaatar; Montenegro: Podgorica; Morocco: Rabat; Mozambique: Maputo; Namibia: Windhoek; Nepal:
    Kathmandu; the Netherlands: Amsterdam; New Zealand: Wellington; Nicaragua: Managua; Niger: Niamey; Nigeria:
    Abuja; North Korea: Pyongyang; North Macedonia: Skopje; Norway: Oslo; Oman: Muscat; Pakistan: Islamabad; Panama:
    Panama City; Paraguay: Asuncion; Peru: Lima; the Philippines: Manila; Poland: Warsaw; Portugal: Lisbon; Qatar:
    Doha; Romania: Bucharest; Russia: Moscow; Rwanda: Kigali; Saudi Arabia: Riyadh; Senegal: Dakar; Serbia:
    Belgrade; Sierra Leone: Freetown; Singapore: Singapore; Slovakia: Bratislava; Slovenia: Ljubljana; Somalia:
    Mogadishu; South Korea: Seoul; South Sudan: Juba; Spain: Madrid; Sudan: Khartoum; Suriname: Paramaribo; Sweden:
    Stockholm; Switzerland: Bern; Syria: Damascus; Taiwan: Taipei; Tajikistan: Dushanbe; Thailand: Bangkok; Togo:
    Lome; Tunisia: Tunis; Turkey: Ankara; Turkmenistan: Ashgabat; Uganda: Kampala; Ukraine: Kyiv; the United
    Kingdom: London; the United States: Washington, D.C.; Uruguay: Montevideo; Uzbekistan: Tashkent; Venezuela:
    Caracas; Vietnam: Hanoi; Yemen: Sanaa; Zambia: Lusaka; Zimbabwe: Harare
"""

CAPITALS: dict[str, str] = dict(pair.strip().split(": ") for pair in " ".join(_TABLE.split()).split(";"))
